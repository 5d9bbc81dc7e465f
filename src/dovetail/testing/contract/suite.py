"""The contract: all rules in one class."""

from __future__ import annotations

from dovetail.testing.contract.reading import ReadingRules


class ConnectorContract(ReadingRules):
    """
    Every rule that a connector must keep; subclass it and give `bench`.

    The name of the subclass begins with ``Test``, so that pytest collects it.
    """
