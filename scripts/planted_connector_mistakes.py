"""The mistakes of `planted_connector.py`, each with the rule of the contract that finds it."""

from __future__ import annotations

from dataclasses import dataclass

_CLASSES = {"hubspot": "TestHubSpot", "salesforce": "TestSalesforce"}
_READ, _READ_WITH = "await change.read_page(", "await _read_page("
_READER = "\n\nasync def _read_page(api, *args):\n"
_HUBSPOT = "connectors/hubspot/connector.py"


@dataclass(frozen=True)
class Mistake:
    """One edit of the source that a tired engineer could make; *rule* names the test that fails."""

    name: str
    file: str
    old: str
    new: str
    rule: str
    resource: str = "contacts"
    platform: str = ""
    more: str = ""

    @property
    def test(self) -> str:
        """The test of our own connector that runs the rule."""
        platform = self.platform or self.file.split("/")[1]
        path = f"tests/contract/test_{platform}_contract.py"
        return f"{path}::{_CLASSES[platform]}::test_{self.rule}[{self.resource}]"

    @property
    def told_rule(self) -> str:
        """The rule as a sentence."""
        return self.rule.replace("_", " ")

    def planted(self, text: str) -> str:
        """
        Return the source with the mistake.

        Raises:
            LookupError: Its place in the source has changed.
        """
        if text.count(self.old) != 1:
            raise LookupError(f"{self.name}: {self.file} has its text {text.count(self.old)} times")
        return text.replace(self.old, self.new) + self.more


MISTAKES = (
    Mistake(
        "end after the first page",
        "connectors/hubspot/change.py",
        '{**cursor, "after": after, "seen": seen}, more=True)',
        '{**cursor, "after": after, "seen": seen}, more=False)',
        "reading_goes_on_from_any_page",
    ),
    Mistake(
        "read the first page again and again",
        "connectors/hubspot/change.py",
        '        query["after"] = cursor["after"]\n',
        "        pass\n",
        "reading_goes_on_from_any_page",
    ),
    Mistake(
        "skip the rest of a moment at the end of a page",
        "connectors/hubspot/change.py",
        '            moved["since"] = last\n',
        '            moved["since"] = last + 1\n',
        "many_changes_of_one_moment_are_all_read",
    ),
    Mistake(
        "forget the overlap of a cursor",
        "connectors/salesforce/watermark.py",
        "timedelta(seconds=resource.consistency_lag_s)",
        "timedelta(seconds=0)",
        "a_change_that_shows_late_is_read",
    ),
    Mistake(
        "let a cursor follow the clock past what is still on its way",
        "connectors/hubspot/change.py",
        'min(started, max(cursor["watermark"], quiet)) - _lag(resource)',
        "started",
        "a_change_that_shows_late_is_read",
    ),
    Mistake(
        "begin the changes where the scan ended, not where it began",
        "connectors/hubspot/change.py",
        '    since = cursor["started"] - _lag(resource)\n',
        '    since = cursor["started"] = millis(api.clock.now())\n',
        "a_change_while_reading_is_not_lost",
    ),
    Mistake(
        "ask for live records only, so that deletes are not in the feed",
        "connectors/salesforce/change.py",
        "return await ask(api, operation, query, deleted=True), cursor",
        "return await ask(api, operation, query), cursor",
        "deletes_arrive_in_the_feed",
    ),
    Mistake(
        "drop the records that were merged away",
        "connectors/hubspot/change.py",
        "records=records + merged,",
        "records=records,",
        "a_merge_leads_to_the_record_that_remains",
    ),
    Mistake(
        "take the platform's UTC for local time",
        "connectors/hubspot/value.py",
        "    found = datetime.fromisoformat(text)\n",
        "    found = datetime.fromisoformat(text).replace(tzinfo=None).astimezone()\n",
        "times_are_those_of_the_platform",
    ),
    Mistake(
        "look at the machine's clock",
        "connectors/hubspot/change.py",
        "    now = millis(api.clock.now())\n",
        "    now = millis(datetime.now().astimezone())\n",
        "time_and_chance_come_through_ports",
    ),
    Mistake(
        "leave out fields without a value",
        "connectors/hubspot/value.py",
        "for name in fields if name in properties}",
        "for name in fields if properties.get(name)}",
        "every_field_that_was_asked_for_is_told",
    ),
    Mistake(
        "send no nulls, so that a field is never cleared",
        "connectors/hubspot/value.py",
        "for name, value in fields.items()}",
        "for name, value in fields.items() if value is not None}",
        "every_value_comes_back_as_it_was_sent",
    ),
    Mistake(
        "read money as a float",
        "connectors/salesforce/record.py",
        "        return Decimal(str(value))\n",
        "        return float(value)\n",
        "every_value_comes_back_as_it_was_sent",
        resource="deals",
    ),
    Mistake(
        "give records in the order of the answer, not of the ids",
        "connectors/hubspot/fetch.py",
        "    return [found.get(id) for id in ids]\n",
        "    return sorted(found.values(), key=lambda one: one.id)\n",
        "records_come_in_the_order_of_their_ids",
    ),
    Mistake(
        "cut ids into smaller batches than the platform takes",
        "connectors/hubspot/value.py",
        "size: int = BATCH)",
        "size: int = 50)",
        "many_records_are_read_in_full_batches",
    ),
    Mistake(
        "declare larger batches than the platform takes",
        "connectors/hubspot/crm_object.py",
        "        write_batch=BATCH,\n",
        "        write_batch=2 * BATCH,\n",
        "batches_are_as_large_as_declared",
    ),
    Mistake(
        "drop the failures of a batch that went through in part",
        "connectors/hubspot/write.py",
        'for error in reply.json.get("errors") or []:',
        "for error in []:",
        "a_bad_record_fails_alone_and_in_its_row",
        resource="deals",
    ),
    Mistake(
        "swap the rows of a batch's answer",
        "connectors/salesforce/collection.py",
        "in zip(rows, answers, strict=False)",
        "in zip(rows[::-1], answers, strict=False)",
        "results_of_a_mixed_batch_are_in_their_rows",
    ),
    Mistake(
        "take a missing record for a bad value",
        "connectors/salesforce/explanation.py",
        '    "ENTITY_IS_DELETED": RecordNotFoundError,\n',
        "",
        "an_update_of_an_unknown_record_fails_alone",
    ),
    Mistake(
        "send a write again when its answer is lost",
        "connectors/hubspot/write.py",
        "            if alone:\n                raise\n",
        "            if alone:\n                return await self._send(call, writes)\n",
        "a_create_whose_answer_is_lost_is_made_once",
    ),
    Mistake(
        "call a create repeatable that nothing keeps single",
        "connectors/salesforce/collection.py",
        'repeatable=is_upsert or action == "update"',
        "repeatable=True",
        "a_create_whose_answer_is_lost_is_made_once",
    ),
    Mistake(
        "create without the key that is declared to keep creates single",
        "connectors/hubspot/write.py",
        'return "upsert" if self.has_key else "create"',
        'return "create"',
        "a_create_whose_answer_is_lost_is_made_once",
        resource="deals",
    ),
    Mistake(
        "take any young record for what a lost create made",
        "connectors/salesforce/find.py",
        "    return all(_loose(row.get(name))",
        "    return any(True or _loose(row.get(name))",
        "a_create_whose_answer_is_lost_is_made_once",
    ),
    Mistake(
        "give the last page again when the platform fails",
        _HUBSPOT,
        _READ,
        _READ_WITH,
        "each_failure_becomes_its_error",
        more=_READER
        + "    try:\n"
        + "        api.last_page = await change.read_page(api, *args)\n"
        + "    except Exception:\n"
        + '        if not hasattr(api, "last_page"):\n'
        + "            raise\n"
        + "    return api.last_page\n",
    ),
    Mistake(
        "take a server error for an empty page",
        _HUBSPOT,
        _READ,
        _READ_WITH,
        "no_failing_call_passes_for_an_answer",
        more=_READER
        + "    from dovetail.errors import PlatformUnavailableError\n"
        + "    try:\n"
        + "        return await change.read_page(api, *args)\n"
        + "    except PlatformUnavailableError:\n"
        + "        return Page(records=[], cursor=args[-1] or {}, more=False)\n",
    ),
    Mistake(
        "show the token in the text of an error",
        _HUBSPOT,
        _READ,
        _READ_WITH,
        "each_failure_becomes_its_error",
        more=_READER
        + "    try:\n"
        + "        return await change.read_page(api, *args)\n"
        + "    except RateLimitedError as error:\n"
        + "        told = f\"{error.message} {api.credentials['access_token']}\"\n"
        + '        raise RateLimitedError(told, platform="hubspot") from error\n',
    ),
    Mistake(
        "log the token",
        _HUBSPOT,
        _READ,
        _READ_WITH,
        "an_empty_account_has_no_records",
        more=_READER
        + "    import sys\n"
        + "    sys.stderr.write(str(dict(api.credentials)))\n"
        + "    return await change.read_page(api, *args)\n",
    ),
    Mistake(
        "ignore Retry-After",
        "connector_sdk/failure.py",
        "asked = retry_after(response.headers, response.received_at)",
        "asked = None",
        "a_platform_that_asks_for_patience_gets_it",
        platform="hubspot",
    ),
    Mistake(
        "take an ended session for a missing right",
        "connectors/salesforce/explanation.py",
        '    "INVALID_SESSION_ID": AuthenticationError,\n',
        '    "INVALID_SESSION_ID": PermissionDeniedError,\n',
        "a_token_that_ended_is_renewed_once",
    ),
    Mistake(
        "declare a higher rate limit than the platform has",
        _HUBSPOT,
        'RateLimit("search", 5, per_s=1',
        'RateLimit("search", 50, per_s=1',
        "no_rate_limit_of_the_platform_is_exceeded",
    ),
    Mistake(
        "list the declared fields as those of the account",
        _HUBSPOT,
        "await self._properties.names(resource)",
        "frozenset(resource.fields)",
        "fields_of_the_account_are_known",
    ),
    Mistake(
        "accept a webhook that is not signed",
        "connectors/hubspot/webhook.py",
        "    check_age(moment(stamp), now, _MAX_AGE)\n",
        "    check_age(moment(stamp), now, _MAX_AGE)\n"
        '    if not header(request, "x-hubspot-signature-v3"):\n'
        "        return\n",
        "only_what_is_signed_is_accepted",
    ),
    Mistake(
        "compare with the signature of the first secret alone",
        "connectors/hubspot/webhook.py",
        "for secret in secrets],",
        "for secret in secrets[:1]],",
        "only_what_is_signed_is_accepted",
    ),
    Mistake(
        "accept a webhook of last week",
        "connectors/hubspot/webhook.py",
        "check_age(moment(stamp), now, _MAX_AGE)",
        "check_age(now, now, _MAX_AGE)",
        "only_what_is_signed_is_accepted",
    ),
    Mistake(
        "sign the body as it is written again, not as it came",
        "connectors/hubspot/webhook.py",
        "+ request.body + stamp.encode()",
        "+ json.encode(json.decode(request.body)) + stamp.encode()",
        "only_what_is_signed_is_accepted",
    ),
    Mistake(
        "hear the first event of a body alone",
        "connectors/hubspot/webhook.py",
        "for item in items for event",
        "for item in items[:1] for event",
        "several_events_of_one_body_are_split",
    ),
    Mistake(
        "give a repeated event another id",
        "connectors/hubspot/webhook.py",
        '        item["eventId"],\n',
        '        item["eventId"],\n        item["attemptNumber"],\n',
        "a_repeated_event_has_the_same_id",
    ),
)
