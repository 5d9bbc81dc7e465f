"""The promises of the runtime and the intake, each as a function that looks for its violation."""

from __future__ import annotations

from collections.abc import Iterator

from dovetail.testing.simulation.evidence import Evidence

Found = Iterator[tuple[str, tuple[str, ...]]]


def writes_stop(evidence: Evidence) -> Found:
    """When people stop, so do writes; looking for changes costs a bounded number of calls."""
    for what in evidence.quiet_writes[:5]:
        yield f"{what} was changed although nobody edits", (what.split()[-1],)
    allowed = 4 * evidence.quiet_polls + 10
    if evidence.quiet_calls > allowed:
        yield f"{evidence.quiet_calls} calls while nothing happened; {allowed} would do", ()


def calls_are_bounded(evidence: Evidence) -> Found:
    """What is asked of the platforms grows with what happens, not faster."""
    world = evidence.world
    polls = (world.duration_s / world.poll_interval_s + 100) * len(evidence.sides)
    happens = len(world.edits) * 40 + world.records * 4 * world.tenants + 60 * len(world.crashes)
    allowed = 6 * polls + 6 * happens + 300 * len(world.faults) + 500
    if evidence.calls > allowed:
        yield f"{evidence.calls} calls; {allowed:.0f} would do", ()


def accepted_webhooks_count(evidence: Evidence) -> Found:
    """A webhook that was answered with 2xx is in the log, once."""
    for key, fact in sorted(evidence.accepted_webhooks):
        if (key, fact) not in evidence.webhook_rows:
            yield f"{key} {fact} was accepted and is not there", (key.rsplit(":", 1)[-1],)
    for (key, fact), number in sorted(evidence.webhook_rows.items()):
        if number > 1:
            yield f"{key} {fact} is there {number} times", (key.rsplit(":", 1)[-1],)
        if (key, fact) not in evidence.sent_webhooks:
            yield f"{key} {fact} was never sent", (key.rsplit(":", 1)[-1],)


def effects_happen_once(evidence: Evidence) -> Found:
    """What a handler wrote and sent is there exactly once."""
    for what, counts in (("shipment", evidence.shipments), ("receipt", evidence.receipts)):
        for number in sorted(evidence.shop.asked | set(counts)):
            found = counts[number]
            least = 1 if number in evidence.shop.confirmed else 0
            if not least <= found <= 1:
                yield f"order {number} has {found} of its one {what}", (number,)
    for number, found in evidence.shipments.items():
        if found and evidence.receipts[number] != found:
            yield f"order {number} was shipped and has no receipt", (number,)


def recorded_steps_rest(evidence: Evidence) -> Found:
    """No step runs again once it is recorded."""
    for number in evidence.shop.repeated:
        yield f"the parcel of order {number} was sent again", (number,)


def limits_hold(evidence: Evidence) -> Found:
    """No platform is asked more often than it allows."""
    for side in evidence.sides:
        for limit in side.simulator.limits:
            if limit.peak > limit.limit:
                yield f"{side.name} {limit.name}: {limit.peak} calls, {limit.limit} allowed", ()


def quotas_are_used(evidence: Evidence) -> Found:
    """With more work than a window has calls for, most of the window is used."""
    faults = evidence.world.faults
    for quota in evidence.world.quotas:
        side = evidence.sides[quota.side]
        at_once = [n for platform, n in evidence.shop.readings if platform == side.name]
        if not quota.shared or quota.burst is None or not any(at_once):
            continue
        if evidence.world.crashes or any(span.side == quota.side for span in faults):
            continue  # most of those calls may have died, failed or waited before they counted
        peak = max(limit.peak for limit in side.simulator.limits if limit.limit == quota.burst)
        if peak < 0.7 * quota.burst:
            yield f"{side.name}: {max(at_once)} calls at once, {peak} of {quota.burst} used", ()


def tenants_stay_apart(evidence: Evidence) -> Found:
    """Nothing of one tenant is linked to, or told to, another."""
    tenants = {side.connection_id: side.tenant for side in evidence.sides}
    owners: dict[str, str] = {}
    for link in evidence.links:
        tenant = tenants[link.connection_id]
        if link.business_id != tenant:
            yield f"{link.external_id} of {tenant} counts as one of {link.business_id}", ()
        if link.internal_id and owners.setdefault(link.internal_id, tenant) != tenant:
            yield (
                f"{link.internal_id} is linked to records of {tenant} and of "
                f"{owners[link.internal_id]}",
                (link.external_id,),
            )
    for conflict in evidence.conflicts:
        if owners.get(conflict.entity_id or "", conflict.business_id) != conflict.business_id:
            yield f"conflict {conflict.id} is told to {conflict.business_id}", ()


def secrets_stay_secret(evidence: Evidence) -> Found:
    """No credential is in a log line or a stored error."""
    whole = "\n".join(evidence.texts)
    for secret in sorted(evidence.secrets):
        if secret in whole:
            line = next(text for text in evidence.texts if secret in text)
            yield f"{secret[:6]}… is in: {line[:300]}", ()
