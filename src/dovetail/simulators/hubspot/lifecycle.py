"""Deals move the people and companies they are linked to along: a portal's setting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dovetail.simulators.hubspot.catalog import OBJECT_TYPES
from dovetail.simulators.hubspot.property import later_stage

if TYPE_CHECKING:
    from dovetail.simulators.hubspot.simulator import HubSpotSimulator
    from dovetail.simulators.hubspot.store import Change

_MOVED = ("contacts", "companies")
_BY_DEAL, _BY_WON_DEAL = "opportunity", "customer"


def follow_deal(simulator: HubSpotSimulator, change: Change) -> None:
    """
    Move whoever is linked to a deal forward when the link is made or the deal is won.

    A stage never moves back, whatever becomes of the deal.
    """
    concerns = change.event == "associationChange" or (
        change.facts.get("propertyName") == "dealstage"
    )
    if change.kind.name != "deals" or not concerns:
        return
    store, deal = simulator.store, change.record
    is_won = store.value(change.kind, deal, "hs_is_closed_won") == "true"
    for name in _MOVED:
        kind = OBJECT_TYPES[name]
        for id in simulator.linker.of(change.kind, deal, kind):
            record = store.tables[name].live(id)
            if record is None:
                continue
            before = record.fields.get("lifecyclestage")
            after = later_stage(before, _BY_WON_DEAL if is_won else _BY_DEAL)
            if after != before:
                store.update(kind, record, {"lifecyclestage": after}, source="DEALS")
