"""The contract: all rules in one class."""

from __future__ import annotations

from dovetail.testing.contract.changing import ChangingRules
from dovetail.testing.contract.declaring import DeclaringRules
from dovetail.testing.contract.failing import FailingRules
from dovetail.testing.contract.fetching import FetchingRules
from dovetail.testing.contract.hearing import HearingRules
from dovetail.testing.contract.limiting import LimitingRules
from dovetail.testing.contract.losing import LosingRules
from dovetail.testing.contract.reading import ReadingRules
from dovetail.testing.contract.writing import WritingRules


class ConnectorContract(
    DeclaringRules,
    ReadingRules,
    ChangingRules,
    FetchingRules,
    WritingRules,
    LosingRules,
    FailingRules,
    LimitingRules,
    HearingRules,
):
    """
    Every rule that a connector must keep; subclass it and give `bench`.

    The name of the subclass begins with ``Test``, so that pytest collects it.
    """
