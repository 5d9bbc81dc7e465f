"""A bench that cannot be tested is told what is missing, and a rule that is broken fails."""

from types import SimpleNamespace

import pytest

from dovetail.connector_sdk.auth import BearerToken
from dovetail.connectors.hubspot import HubSpot
from dovetail.errors import PermanentError, UsageError
from dovetail.simulators.hubspot import HubSpotSimulator
from dovetail.testing import pytest_plugin
from dovetail.testing.contract import Bench, ConnectorContract, Sample
from dovetail.testing.contract.failing import FailingRules
from dovetail.testing.contract.rule import Setting
from dovetail.testing.contract.secrecy import check_error, check_hidden
from dovetail.testing.contract.stand import IN_PROCESS
from dovetail.testing.contract.value import agree, is_rounded

SAMPLE = Sample(record=lambda n: {"email": f"c{n}@example.com"}, text="firstname")


@pytest.mark.parametrize(
    ("samples", "told"),
    [({}, "needs samples"), ({"contact": SAMPLE}, "has no resource 'contact'")],
)
def test_a_bench_without_good_samples_says_so(samples, told):
    class Acme(ConnectorContract):
        def bench(self):
            return Bench(connector=HubSpot, simulator=HubSpotSimulator, samples=samples)

    metafunc = SimpleNamespace(fixturenames=["setting"])

    with pytest.raises(UsageError, match=told):
        Acme().pytest_generate_tests(metafunc)


class TenantToken(BearerToken):
    """A token, and the name of a tenant that only the bench knows."""

    async def headers(self, credentials):
        named = {"X-Tenant": credentials.require("tenant")}
        return named | await super().headers(credentials)


class TenantHubSpot(HubSpot):
    auth = TenantToken()


@pytest.mark.parametrize(
    "rule", ["test_a_token_that_ended_is_renewed_once", "test_wrong_credentials_are_refused"]
)
async def test_credentials_of_the_bench_are_there_in_every_rule(rule):
    bench = Bench(
        connector=TenantHubSpot,
        simulator=HubSpotSimulator,
        samples={"contacts": SAMPLE},
        credentials={"tenant": "north"},
    )
    indoors = Setting(bench, HubSpot.resource("contacts"), IN_PROCESS)

    await getattr(FailingRules(), rule)(indoors)


def test_an_error_without_advice_is_not_enough():
    with pytest.raises(AssertionError, match="does not say what to do"):
        check_error(PermanentError("HubSpot said no."), "HubSpot", frozenset())
    check_error(PermanentError("HubSpot said no. Ask again."), "HubSpot", frozenset())


def test_a_secret_is_found_and_not_repeated():
    with pytest.raises(AssertionError) as caught:
        check_hidden("it is pa55word!", frozenset({"pa55word!"}), "the log")
    assert caught.value.args[0].startswith("the log shows a secret")


@pytest.mark.parametrize(
    ("field", "sent", "back", "same"),
    [
        ("amount", "0.10", "0.1", True),
        ("amount", "9007199254740993.25", "9007199254740992", False),
        ("closedate", "2024-02-29", "2024-02-29T00:00:00.000Z", True),
        ("closedate", "2024-02-29", "2024-02-28T23:00:00.000Z", False),
        ("dealname", "Café", "Cafe\u0301", True),
        ("dealname", "Deal", "deal", False),
        ("amount", None, "0", False),
        ("amount", None, "", True),
    ],
)
def test_values_are_compared_by_what_they_mean(field, sent, back, same):
    assert agree(HubSpot.resource("deals"), field, sent, back) is same


def test_money_that_is_a_float_is_noticed():
    deals = HubSpot.resource("deals")

    assert is_rounded(deals, "amount", 0.1)
    assert not is_rounded(deals, "amount", "0.1")
    assert not is_rounded(deals, "dealname", 0.1)


def test_the_summary_tells_what_was_kept_and_why_the_rest_was_not_tried():
    about = [("connector contract", "acme contacts")]
    skip = ("file", 1, "Skipped: acme contacts does not declare webhooks")
    reports = {
        "passed": [SimpleNamespace(user_properties=about), SimpleNamespace(user_properties=[])],
        "failed": [SimpleNamespace(user_properties=about)],
        "skipped": [SimpleNamespace(user_properties=about, longrepr=skip)] * 2,
    }
    lines = []
    reporter = SimpleNamespace(stats=reports, section=lines.append, line=lines.append)

    pytest_plugin.pytest_terminal_summary(reporter)

    assert lines == [
        "connector contract",
        "acme contacts: 1 kept, 1 broken, 2 not for it",
        "    2 x does not declare webhooks",
    ]
