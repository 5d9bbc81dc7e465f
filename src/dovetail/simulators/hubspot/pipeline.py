"""Pipelines of deals and tickets: their stages, and which values they allow."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from dovetail.simulators.hubspot import refusal
from dovetail.simulators.hubspot.catalog import PIPELINES, option
from dovetail.simulators.hubspot.property import Property

PIPELINE_PROPERTIES = {
    "deals": ("pipeline", "dealstage"),
    "tickets": ("hs_pipeline", "hs_pipeline_stage"),
}
"""By object type: the property that names the pipeline, and the one that names the stage."""

_FIRST_OWN_ID = 7_000_000


class PipelineStore:
    """
    The pipelines of one portal.

    Args:
        properties: By object type; the options of the pipeline properties follow the pipelines.
        at: When those that every portal has were made.
    """

    def __init__(self, properties: dict[str, dict[str, Property]], at: str) -> None:
        self._properties = properties
        self._last_id = _FIRST_OWN_ID
        self._pipelines: dict[str, dict[str, dict[str, Any]]] = {}
        for kind, described in PIPELINES.items():
            self._pipelines[kind] = {each["id"]: deepcopy(each) for each in described}
            for pipeline in self._pipelines[kind].values():
                for each in (pipeline, *pipeline["stages"]):
                    each.update(createdAt=at, updatedAt=at)
            self.changed(kind)

    def of(self, kind: str) -> dict[str, dict[str, Any]]:
        """
        Return the pipelines of an object type by id.

        Raises:
            RefusedError: The type has none.
        """
        found = self._pipelines.get({"0-3": "deals", "0-5": "tickets"}.get(kind, kind))
        if found is None:
            raise refusal.not_found()
        return found

    def new_id(self) -> str:
        """Return an id for a pipeline or stage."""
        self._last_id += 1
        return str(self._last_id)

    def changed(self, kind: str) -> None:
        """Let the properties offer what there is now."""
        by_pipeline, by_stage = PIPELINE_PROPERTIES[kind]
        pipelines = [each for each in self.of(kind).values() if not each["archived"]]
        stages = [stage for each in pipelines for stage in each["stages"] if not stage["archived"]]
        for name, offered in ((by_pipeline, pipelines), (by_stage, stages)):
            self._properties[kind][name].options = [
                {**option(each["id"], order), "label": each["label"]}
                for order, each in enumerate(offered)
            ]

    def stage(self, kind: str, pipeline: str | None, stage: str | None) -> dict[str, Any] | None:
        """Return a stage of a pipeline; None when it has no such stage."""
        found = self.of(kind).get(pipeline or "")
        stages = [] if found is None else found["stages"]
        return next((each for each in stages if each["id"] == stage), None)

    def problem(
        self, kind: str, changes: dict[str, str | None], before: dict[str, Any]
    ) -> tuple[str, str, str] | None:
        """Return what is wrong with a write that leaves a stage outside its pipeline."""
        names = PIPELINE_PROPERTIES.get(kind)
        if names is None or not any(name in changes for name in names):
            return None
        pipeline, stage = (changes.get(name, before.get(name)) for name in names)
        if stage is None or self.stage(kind, pipeline, stage) is not None:
            return None
        message = f"{stage} is not a stage of pipeline {pipeline}; send both together"
        return names[1], "INVALID_OPTION", message

    def is_won(self, pipeline: str | None, stage: str | None) -> bool:
        """Return whether a deal in this stage is closed and won."""
        found = self.stage("deals", pipeline, stage)
        return found is not None and float(found["metadata"]["probability"]) == 1.0


def read_stage(kind: str, described: Any, before: dict[str, Any] | None = None) -> dict[str, Any]:
    """
    Return label, order and metadata of a stage as the body of a call gives them.

    Raises:
        RefusedError: Something is missing or wrong.
    """
    if not isinstance(described, dict):
        raise refusal.invalid("Invalid input JSON: a stage is an object")
    given = read_labelled(described, before)
    metadata = described.get("metadata", (before or {}).get("metadata")) or {}
    if not isinstance(metadata, dict):
        raise refusal.invalid("Invalid input JSON: metadata is an object")
    kept = {str(name): str(value) for name, value in metadata.items()}
    if kind == "deals":
        try:
            probability = float(kept.get("probability", ""))
        except ValueError:
            probability = -1.0
        if not 0 <= probability <= 1:
            raise refusal.invalid("A deal stage needs metadata with a probability from 0 to 1")
        kept["isClosed"] = str(probability in (0.0, 1.0)).lower()
    else:
        kept.setdefault("ticketState", "OPEN")
        if kept["ticketState"] not in ("OPEN", "CLOSED"):
            raise refusal.invalid("ticketState is OPEN or CLOSED")
    return {**given, "metadata": kept}


def read_labelled(described: dict[str, Any], before: dict[str, Any] | None) -> dict[str, Any]:
    """Return label and order, of which a new pipeline or stage needs both."""
    known = before or {}
    label = described.get("label", known.get("label"))
    order = described.get("displayOrder", known.get("displayOrder"))
    if not isinstance(label, str) or not label:
        raise refusal.invalid("Some required fields were not set: [label]")
    if isinstance(order, bool) or not isinstance(order, int):
        raise refusal.invalid("Some required fields were not set: [displayOrder]")
    return {"label": label, "displayOrder": order}
