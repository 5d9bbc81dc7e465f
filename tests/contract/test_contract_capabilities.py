"""A connector is held only to what it declares, and refuses everything else."""

from dataclasses import replace
from functools import partial

import pytest

from dovetail.connector_sdk.spec import Capability
from dovetail.connectors.salesforce import Salesforce
from dovetail.simulators.salesforce import Salesforce as SalesforceSimulator
from dovetail.testing.contract import Bench, Sample
from dovetail.testing.contract.losing import LosingRules
from dovetail.testing.contract.reading import ReadingRules
from dovetail.testing.contract.rule import Setting
from dovetail.testing.contract.stand import IN_PROCESS

CONTACTS = Sample(
    record=lambda n: {"LastName": f"Ada {n}", "Email": f"c{n}@example.com"}, text="LastName"
)


def without(*taken, kind=Salesforce):
    """Return a connector whose resources declare none of these capabilities."""

    class Less(kind):
        resources = tuple(
            replace(one, capabilities=one.capabilities - set(taken)) for one in kind.resources
        )

    return Less


def bench_of(kind):
    return Bench(
        connector=kind,
        simulator=partial(SalesforceSimulator, commit_lag_s=2),
        samples={"contacts": CONTACTS},
    )


class TestSalesforceThatDeletesNothing(LosingRules):
    """The rules of lost writes clean up after themselves on the platform's side."""

    def bench(self):
        return bench_of(without(Capability.DELETE))


class FindsAllTheSame(Salesforce):
    """Looks for records whatever the resource declares."""

    async def find_many(self, resource, field, values, fields):
        every = replace(resource, capabilities=resource.capabilities | {Capability.FIND})
        return await super().find_many(every, field, values, fields)


async def test_looking_for_records_without_declaring_it_is_noticed():
    bench = bench_of(without(Capability.FIND, kind=FindsAllTheSame))
    indoors = Setting(bench, bench.connector.resource("contacts"), IN_PROCESS)

    with pytest.raises(AssertionError, match="UnsupportedCapabilityError was due"):
        await ReadingRules().test_what_is_not_declared_is_refused_before_any_call(indoors)
