"""
What every connector must keep, as tests that run against a simulator of its platform.

::

    class TestAcme(ConnectorContract):
        def bench(self):
            return Bench(connector=Acme, simulator=AcmeSimulator, samples={"contacts": Sample(...)})

Every rule runs for each resource in process, on virtual time, and for the first one over a
loopback socket. A rule that needs a capability which is not declared is skipped and says so.
"""

from dovetail.testing.contract.bench import Bench, Sample
from dovetail.testing.contract.suite import ConnectorContract

__all__ = ["Bench", "ConnectorContract", "Sample"]
