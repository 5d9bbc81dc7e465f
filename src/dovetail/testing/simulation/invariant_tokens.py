"""The promises about tokens that end, each as a function that looks for its violation."""

from __future__ import annotations

import itertools

from dovetail.app.token_keeper import LEASE_S
from dovetail.testing.simulation.evidence import Evidence
from dovetail.testing.simulation.invariant_runtime import Found

_SHORTEST_PAUSE_S = 1.5
"""A renewal that failed is tried again after two seconds, more or less a fifth."""
_PROBED_EVERY_S = 200.0
_FIRST_PROBES = 8


def one_renewal_serves_all(evidence: Evidence) -> Found:
    """A token is renewed once for everybody: no two renewals with one refresh token overlap."""
    for (url, _), asked in evidence.tokens.by_token().items():
        for first, second in itertools.pairwise(asked):
            apart = second.began_s - first.began_s
            if first.life == second.life:
                overlaps = first.ended_s is None or second.began_s < first.ended_s
            else:
                # Nobody stored how the other one ended: its lease has to be over.
                died = first.ended_s is None or first.gave not in (None, first.token)
                overlaps = died and apart < LEASE_S - 1
            if overlaps:
                yield f"{url} was asked again after {apart:.1f} s, before it had answered", (url,)


def used_refresh_tokens_rest(evidence: Evidence) -> Found:
    """A refresh token that was replaced is not sent again, unless the app died with the answer."""
    for (url, token), asked in evidence.tokens.by_token().items():
        for number, one in enumerate(asked):
            if one.gave in (None, token):
                continue
            for later in asked[number + 1 :]:
                if later.life != one.life and one.life in evidence.tokens.unsaved:
                    continue
                since = later.began_s - one.began_s
                yield f"a refresh token was sent to {url} {since:.0f} s after its answer", (url,)


def token_endpoints_are_left_alone(evidence: Evidence) -> Found:
    """What failed is not asked again at once, nor before the time that the answer named."""
    for (url, _), asked in evidence.tokens.by_token().items():
        for first, second in itertools.pairwise(asked):
            if first.life != second.life or first.ended_s is None or first.gave is not None:
                continue
            apart = second.began_s - first.ended_s
            if apart < max(first.wait_s, _SHORTEST_PAUSE_S) - 0.01:
                yield f"{url} answered {first.status} and was asked after {apart:.1f} s", (url,)


def refused_grants_are_not_insisted_on(evidence: Evidence) -> Found:
    """A refresh token that was refused is tried now and then, not for ever."""
    for (url, _), asked in evidence.tokens.by_token().items():
        refused = [one for one in asked if one.status in (400, 401, 403)]
        if not refused:
            continue
        length_s = refused[-1].began_s - refused[0].began_s
        allowed = _FIRST_PROBES + length_s / _PROBED_EVERY_S
        if len(refused) > allowed:
            yield (
                f"{url} refused one refresh token {len(refused)} times in {length_s:.0f} s; "
                f"{allowed:.0f} would do",
                (url,),
            )


def access_comes_back(evidence: Evidence) -> Found:
    """Whose account was connected again is served again, and nobody is left refused."""
    for connection_id in evidence.tokens.refused:
        yield f"connection {connection_id} is still refused", (connection_id,)


TOKEN_INVARIANTS = (
    one_renewal_serves_all,
    used_refresh_tokens_rest,
    token_endpoints_are_left_alone,
    refused_grants_are_not_insisted_on,
    access_comes_back,
)
