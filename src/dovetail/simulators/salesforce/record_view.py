"""Rows in the shape that the sandbox's control endpoints show and edit."""

from __future__ import annotations

from collections.abc import Iterator

from dovetail.simulator_sdk.record import Record, Table
from dovetail.simulators.salesforce import moment
from dovetail.simulators.salesforce.sobject import Row
from dovetail.simulators.salesforce.table import Table as RowTable


class RecordView(Table):
    """The records of one object, made from its rows when somebody looks; writes go to the org."""

    def __init__(self, name: str, rows: RowTable) -> None:
        super().__init__(name)
        self._rows = rows

    def __len__(self) -> int:
        return sum(1 for row in self._all() if not row["IsDeleted"])

    def __iter__(self) -> Iterator[Record]:
        """Iterate over the live records, oldest first."""
        return (to_record(row) for row in self._all() if not row["IsDeleted"])

    def scan(self, *, start: int = 0) -> Iterator[Record]:
        """Iterate over all records, those in the bin too."""
        return (to_record(row, number) for number, row in enumerate(self._all()[start:], start))

    def get(self, id: str) -> Record | None:
        """Return the record, in the bin or not."""
        row = self._rows.committed.rows.get(id)
        return None if row is None else to_record(row)

    def live(self, id: str) -> Record | None:
        """Return the record unless it is unknown or in the bin."""
        record = self.get(id)
        return None if record is None or record.deleted else record

    def _all(self) -> list[Row]:
        return list(self._rows.committed.rows.values())


def to_record(row: Row, sequence: int = 0) -> Record:
    """Return a row as the kit's record."""
    modified_at = moment.from_text(row["LastModifiedDate"])
    return Record(
        id=row["Id"],
        fields=dict(row),
        created_at=moment.from_text(row["CreatedDate"]),
        modified_at=modified_at,
        sequence=sequence,
        deleted_at=moment.from_text(row["SystemModstamp"]) if row["IsDeleted"] else None,
        merged_into=row.get("MasterRecordId"),
    )
