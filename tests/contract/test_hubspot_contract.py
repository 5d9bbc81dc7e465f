"""HubSpot keeps the contract of connectors."""

from dovetail.connectors.hubspot import HubSpot
from dovetail.simulators.hubspot import HubSpotSimulator
from dovetail.testing.contract import Bench, ConnectorContract, Sample


class TestHubSpot(ConnectorContract):
    def bench(self):
        return Bench(
            connector=HubSpot,
            simulator=HubSpotSimulator,
            samples={
                "contacts": Sample(
                    record=lambda n: {"email": f"c{n}@example.com", "firstname": f"Ada {n}"},
                    text="firstname",
                ),
            },
        )
