"""Loads a person's own CSV file into simulators."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from dovetail.errors import ConfigError
from dovetail.simulator_sdk.base import Simulator
from dovetail.simulator_sdk.refusal import RefusedError


def load_file(path: Path, simulators: Sequence[Simulator]) -> int:
    """
    Add the rows of a CSV file to the seeded state and return how many records that made.

    The name of the file says where the rows go: ``contacts.csv`` into the contacts of every
    platform, ``hubspot-contacts.csv`` into those of one; any other name means contacts of all.
    Columns are the platform's own field names or ours (``first_name``). An empty cell is blank.

    Raises:
        ConfigError: The file cannot be read, a column is unknown or a row is refused; the message
            names file, line and column.
    """
    header, rows = _read(path)
    chosen, resource = _destination(path, simulators)
    if not chosen:
        titles = ", ".join(simulator.title for simulator in simulators) or "no platform"
        raise ConfigError(
            f"{path}: {titles} cannot hold {resource}. Name the file after a resource of the "
            "platform, such as contacts.csv or hubspot-companies.csv."
        )
    created = 0
    for simulator in chosen:
        names = _translate(path, header, simulator, resource)
        for line, row in rows:
            fields = {name: value for name, value in zip(names, row, strict=True) if value != ""}
            try:
                simulator.load(resource, fields)
            except RefusedError as exc:
                blamed = ""
                if exc.field in names:
                    blamed = f", column {header[names.index(exc.field)]!r}"
                raise ConfigError(
                    f"{path}, line {line}{blamed}: {simulator.title} refuses the row: "
                    f"{exc.message}. Correct the row and start again."
                ) from exc
            created += 1
    return created


def _read(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip() for name in next(reader, [])]
            rows = []
            for row in reader:
                if len(row) not in (0, len(header)):
                    raise ConfigError(
                        f"{path}, line {reader.line_num}: the row has {len(row)} cells, the "
                        f"header has {len(header)} columns. Check quotes and commas."
                    )
                if row:
                    rows.append((reader.line_num, row))
    except OSError as exc:
        raise ConfigError(f"cannot read {path}: {exc.strerror or exc}. Check --load.") from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path} is not UTF-8 ({exc}). Save it as UTF-8 CSV.") from exc
    except csv.Error as exc:
        raise ConfigError(f"{path}, line {reader.line_num}: not CSV: {exc}.") from exc
    if not header or not all(header):
        raise ConfigError(f"{path}, line 1: the first line names the columns; one is missing.")
    repeated = [name for position, name in enumerate(header) if name in header[:position]]
    if repeated:
        raise ConfigError(f"{path}, line 1: column {repeated[0]!r} appears twice. Remove one.")
    return header, rows


def _destination(path: Path, simulators: Sequence[Simulator]) -> tuple[list[Simulator], str]:
    words = path.stem.lower().replace("_", "-").replace(".", "-").split("-")
    named = [simulator for simulator in simulators if simulator.platform in words]
    chosen = named or list(simulators)
    for simulator in chosen:
        for resource in simulator.resources:
            if resource in words:
                return [each for each in chosen if resource in each.resources], resource
    return [each for each in chosen if "contacts" in each.resources], "contacts"


def _translate(path: Path, header: list[str], simulator: Simulator, resource: str) -> list[str]:
    ours = simulator.columns.get(resource, {})
    names: list[str] = []
    for column in header:
        name = ours.get(column, column)
        if name not in simulator.field_names(resource):
            raise ConfigError(
                f"{path}, line 1, column {column!r}: {simulator.title} has no such field of "
                f"{resource}. Use its own field names, or ours: {', '.join(sorted(ours))}."
            )
        if name in names:
            raise ConfigError(
                f"{path}, line 1, column {column!r}: {header[names.index(name)]!r} is the same "
                f"field of {simulator.title}. Remove one."
            )
        names.append(name)
    return names
