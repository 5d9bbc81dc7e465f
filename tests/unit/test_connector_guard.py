"""What a connector fails to read leaves it as one of our errors."""

import pytest

from dovetail.connector_sdk.base import Connector
from dovetail.errors import MalformedResponseError, OutcomeUnknownError, UsageError


class Odd(Connector):
    platform = "odd"
    title = "Odd"

    async def identify(self):
        """Identify."""
        return {}["id"]

    async def write(self, resource, writes, fields):
        return [None.id]

    async def known_fields(self, resource):
        raise UsageError("our own error passes as it is")


async def test_an_answer_that_cannot_be_read_is_malformed():
    with pytest.raises(
        MalformedResponseError, match=r"Odd answered .* \(identify: KeyError\)"
    ) as told:
        await Odd(None).identify()

    assert isinstance(told.value.__cause__, KeyError)
    assert told.value.facts["platform"] == "odd"


async def test_a_write_whose_answer_cannot_be_read_may_have_been_applied():
    with pytest.raises(OutcomeUnknownError, match="look before writing again"):
        await Odd(None).write(None, [], [])


async def test_our_own_errors_pass():
    with pytest.raises(UsageError, match="passes"):
        await Odd(None).known_fields(None)


def test_a_guarded_method_keeps_its_name_and_words():
    assert Odd.identify.__name__ == "identify"
    assert Odd.identify.__doc__ == "Identify."
