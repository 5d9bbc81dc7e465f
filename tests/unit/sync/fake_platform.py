"""A platform made of a dict: an honest little store that normalises, lags, refuses and forgets."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from dovetail.connector_sdk.base import Connector
from dovetail.connector_sdk.record import Page, RemoteRecord, WriteResult
from dovetail.connector_sdk.spec import Capability, Resource
from dovetail.errors import (
    OutcomeUnknownError,
    RecordConflictError,
    RecordInvalidError,
    RecordNotFoundError,
    TransientError,
)
from dovetail.model.crm import Contact

FIELDS = {"First": "first_name", "Last": "last_name", "Email": "email", "Phone": "phone"}


class FakePlatform(Connector):
    """
    Keeps records, oldest change first; reads what `lag_s` lets it see.

    `normalise` is what the platform makes of a value; `unique` whether it refuses a second record
    with one e-mail address; `required` fields must not be blank. `preparing`: what the next pages
    tell while there is nothing in them yet.
    """

    platform = "fake"
    title = "Fake"

    def __init__(self, name: str, bench: Any, **traits: Any) -> None:
        self.name = name
        self.bench = bench
        self.unique: bool = traits.get("unique", False)
        self.lag_s: float = traits.get("lag_s", 0.0)
        self.normalise: Callable[[str, Any], Any] = traits.get("normalise", lambda _, value: value)
        self.fields: dict[str, str] = traits.get("fields", FIELDS)
        self.required: tuple[str, ...] = traits.get("required", ())
        self.rows: dict[str, dict[str, Any]] = {}
        self.made: dict[str, datetime] = {}
        self.modified: dict[str, tuple[int, datetime]] = {}
        self.ended: dict[str, str | None] = {}
        self.calls: list[str] = []
        self.preparing: list[dict[str, Any]] = []
        self.lost_answers = 0
        self.refused_calls = 0
        self.before_write: Callable[[], None] | None = None
        self._seq = 0
        self.resources = (
            Resource(
                name="contacts",
                entity=Contact,
                path="contacts",
                key_field="Email",
                key_is_unique=self.unique,
                modified_field="modified",
                fields=FIELDS,
                read_batch=100,
                write_batch=traits.get("write_batch", 20),
                consistency_lag_s=self.lag_s,
                answer_lag_s=self.lag_s,
                tombstones_for_s=traits.get("tombstones_for_s"),
                capabilities=frozenset(Capability) - frozenset(traits.get("lacks", ())),
            ),
        )

    def resource(self, name: str) -> Resource:  # type: ignore[override]
        assert name == "contacts"
        return self.resources[0]

    # What people do there.

    def add(self, **fields: Any) -> str:
        self._seq += 1
        external_id = f"{self.name}-{self._seq}"
        self.rows[external_id] = dict.fromkeys(self.fields)
        self.made[external_id] = self.bench.clock.now()
        self.edit(external_id, **fields)
        return external_id

    def edit(self, external_id: str, **fields: Any) -> None:
        self._seq += 1
        normal = {name: self.normalise(name, value) for name, value in fields.items()}
        self.rows[external_id] |= normal
        self.modified[external_id] = (self._seq, self.bench.clock.now())

    def remove(self, external_id: str, merged_into: str | None = None) -> None:
        self._seq += 1
        del self.rows[external_id]
        self.ended[external_id] = merged_into
        self.modified[external_id] = (self._seq, self.bench.clock.now())

    def find(self, **fields: Any) -> list[str]:
        return [
            id
            for id, row in self.rows.items()
            if all(row[name] == value for name, value in fields.items())
        ]

    # The Records role.

    async def prepare(self, resource: Resource) -> None:
        del resource

    def cursor_at(self, resource: Resource, since: datetime) -> dict[str, Any]:
        del resource
        return {"after": max((n for n, at in self.modified.values() if at < since), default=0)}

    async def read_page(self, resource: Any, fields: Any, cursor: Any) -> Page:
        self._called("read_page")
        after = cursor["after"] if cursor else 0
        if self.preparing:
            told = self.preparing.pop(0)
            return Page(records=[], cursor={"after": after}, more=True, **told)
        horizon = self.bench.clock.now() - timedelta(seconds=self.lag_s)
        changed = sorted(
            (seq, id) for id, (seq, at) in self.modified.items() if seq > after and at <= horizon
        )
        page = [self._record(id) for _, id in changed[:50]]
        end = changed[:50][-1][0] if page else after
        return Page(records=page, cursor={"after": end}, more=len(changed) > 50)

    async def read_many(self, resource: Any, ids: Any, fields: Any) -> list[Any]:
        self._called("read_many")
        found: list[RemoteRecord | None] = []
        for id in ids:
            target = self.ended.get(id) or id
            found.append(self._record(target) if target in self.rows else None)
        return found

    async def find_many(self, resource: Any, field: str, values: Any, fields: Any) -> Any:
        self._called("find_many")
        horizon = self.bench.clock.now() - timedelta(seconds=self.lag_s)
        found: dict[str, list[RemoteRecord]] = {}
        for id, row in self.rows.items():
            value = str(row[field]).lower()
            if value in values and self.made[id] <= horizon:
                found.setdefault(value, []).append(self._record(id))
        return found

    async def write(self, resource: Any, writes: Any, fields: Any) -> list[WriteResult]:
        self._called("write")
        assert len(writes) <= resource.write_batch
        if self.refused_calls:
            self.refused_calls -= 1
            raise TransientError("busy", platform=self.name)
        if self.before_write is not None:
            self.before_write()
        results = [self._write(write) for write in writes]
        self.bench.trip()
        if self.lost_answers:
            self.lost_answers -= 1
            raise OutcomeUnknownError("the answer was lost", platform=self.name)
        return results

    async def look_up(self, resource: Any, creates: Any, since: Any, fields: Any) -> list[Any]:
        self._called("look_up")
        horizon = self.bench.clock.now() - timedelta(seconds=self.lag_s)
        found: list[RemoteRecord | None] = []
        for create in creates:
            wanted = {name: self.normalise(name, value) for name, value in create.fields.items()}
            ids = [id for id in self.find(**wanted) if since <= self.made[id] <= horizon]
            found.append(self._record(ids[0]) if ids else None)
        return found

    def _called(self, name: str) -> None:
        self.bench.trip()
        self.calls.append(name)

    def _record(self, id: str) -> RemoteRecord:
        at = self.modified[id][1]
        if id not in self.rows:
            return RemoteRecord(id=id, modified_at=at, deleted=True, merged_into=self.ended.get(id))
        return RemoteRecord(
            id=id, fields=dict(self.rows[id]), modified_at=at, created_at=self.made[id]
        )

    def _write(self, write: Any) -> WriteResult:
        id = write.id
        if write.action != "create" and id not in self.rows:
            return WriteResult(key=write.key, error=RecordNotFoundError("gone"))
        if write.action == "delete":
            self.remove(id)
            return WriteResult(key=write.key, id=id)
        after = {**self.rows.get(id or "", {}), **write.fields}
        blank = {name: "is required" for name in self.required if not after.get(name)}
        if blank:
            error = RecordInvalidError("Some fields are missing.", fields=blank)
            return WriteResult(key=write.key, error=error)
        if write.action == "create":
            known = self.find(Email=after["Email"]) if self.unique and after.get("Email") else []
            if known:
                refusal = RecordConflictError("It exists.", existing_id=known[0])
                return WriteResult(key=write.key, error=refusal)
            id = self.add(**write.fields)
        else:
            self.edit(id, **write.fields)
        return WriteResult(
            key=write.key, id=id, created=write.action == "create", record=self._record(id)
        )
