"""Two platforms with people and the firms that they work for: what reference tests run on."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from dovetail.connector_sdk.base import Connector
from dovetail.errors import RecordInvalidError
from dovetail.model.crm import Company, Contact
from dovetail.runtime.log import EventDraft
from dovetail.runtime.record_document import read_record
from dovetail.runtime.record_table import change_record, delete_record, insert_record
from dovetail.runtime.store.schema import records
from dovetail.runtime.store.sqlite import SqliteStore
from dovetail.sync.plan import Deletes, EntityPlan, Policy, SpokePlan, SyncPlan

PEOPLE = {"First": "first_name", "Email": "email", "Company": "company_id"}
FIRMS = {"First": "name", "Email": "domain", "Phone": "phone"}
TENANT = "acme"


class Pair(Connector):
    """A platform with people and firms: two of the little stores behind one connection."""

    platform = "fake"
    title = "Fake"

    def __init__(self, people: Any, firms: Any) -> None:
        self.people, self.firms = people, firms
        self.refused: str | None = None

    def of(self, resource: Any) -> Any:
        return self.people if resource.name == "contacts" else self.firms

    def resource(self, name: str) -> Any:  # type: ignore[override]
        (found,) = (self.people if name == "contacts" else self.firms).resources
        return type(found)(**{**_values(found), "name": name})

    @property
    def modified(self) -> dict[str, Any]:
        return {**self.people.modified, **{f"f{id}": at for id, at in self.firms.modified.items()}}

    def employer(self, **person: Any) -> Any:
        """Return the firm's name, as this platform's own ids say."""
        (id,) = self.people.find(**person)
        firm = self.people.rows[id]["Company"]
        ids = firm if isinstance(firm, list) else [firm]
        named = [self.firms.rows[one]["First"] if one else None for one in ids]
        return named if isinstance(firm, list) else named[0]

    async def prepare(self, resource: Any) -> None:
        del resource

    def cursor_at(self, resource: Any, since: Any) -> Any:
        return self.of(resource).cursor_at(resource, since)

    async def read_page(self, resource: Any, fields: Any, cursor: Any) -> Any:
        return await self.of(resource).read_page(resource, fields, cursor)

    async def read_many(self, resource: Any, ids: Any, fields: Any) -> Any:
        return await self.of(resource).read_many(resource, ids, fields)

    async def find_many(self, resource: Any, field: str, values: Any, fields: Any) -> Any:
        return await self.of(resource).find_many(resource, field, values, fields)

    async def look_up(self, resource: Any, creates: Any, since: Any, fields: Any) -> Any:
        return await self.of(resource).look_up(resource, creates, since, fields)

    async def write(self, resource: Any, writes: Any, fields: Any) -> Any:
        for write in writes:
            target = write.fields.get("Company")
            assert target is None or target in self.firms.made, f"no id of this platform: {target}"
        results = await self.of(resource).write(resource, writes, fields)
        return [self._judge(*one) for one in zip(writes, results, strict=True)]

    def _judge(self, write: Any, result: Any) -> Any:
        if self.refused is None or write.fields.get("Company") != self.refused:
            return result
        error = RecordInvalidError("No.", fields={"Company": "is closed"})
        return type(result)(key=write.key, id=result.id, error=error)


def _values(struct: Any) -> dict[str, Any]:
    return {name: getattr(struct, name) for name in struct.__dataclass_fields__}


class People:
    """What a bench of two platforms with people and firms adds to the bench."""

    async def begin(self, **plan: Any) -> Any:
        await self.start(("a", {}), ("b", {}))
        fake = type(self.platforms["a"])
        self.platforms = {
            name: Pair(fake(name, self, fields=PEOPLE), fake(f"{name}-firm", self, fields=FIRMS))
            for name in ("a", "b")
        }
        self.plan = SyncPlan(
            integration_id="crm",
            business_id=TENANT,
            service="crm",
            entities=[
                EntityPlan(
                    entity=entity,
                    spokes=[
                        SpokePlan(name, name, resource, fields, priority=n, references=references)
                        for n, name in enumerate(("a", "b"))
                    ],
                    policies=plan.get("policies", {}),
                )
                for entity, resource, fields, references in (
                    (Contact, "contacts", PEOPLE, {"company_id": "company"}),
                    (Company, "companies", FIRMS, {}),
                )
            ],
            policy=Policy(plan.get("policy", "last-write-wins")),
            deletes=Deletes(plan.get("deletes", "keep")),
        )
        self.restart()
        return self

    async def ours(self, entity: Any) -> list[Any]:
        name = entity.__name__.lower()
        query = sa.select(records).where(records.c.entity == name).order_by(records.c.id)
        rows = await self.store.read(lambda tx: tx.rows(query))
        return [read_record(entity, row) for row in rows]

    async def one(self, entity: Any, **equal: Any) -> Any:
        (found,) = [
            one
            for one in await self.ours(entity)
            if all(getattr(one, name) == value for name, value in equal.items())
        ]
        return found

    async def employer(self, **person: Any) -> Any:
        """Return the name of the company that a contact of ours points to."""
        company_id = (await self.one(Contact, **person)).company_id
        return company_id and (await self.one(Company, id=company_id)).name

    async def make(self, entity: Any, **fields: Any) -> str:
        record = entity(id=self.ids.new(), business_id=TENANT, **fields)
        await self._say(
            entity, record.id, "created", lambda tx: insert_record(tx, record, self.clock.now())
        )
        return record.id

    async def change(self, entity: Any, id: str, **fields: Any) -> None:
        now = self.clock.now()
        await self._say(
            entity,
            id,
            "updated",
            lambda tx: change_record(tx, entity, TENANT, id, fields, now=now),
        )

    async def drop(self, entity: Any, id: str) -> None:
        await self._say(entity, id, "deleted", lambda tx: delete_record(tx, entity, TENANT, id))

    async def _say(self, entity: Any, id: str, what: str, work: Any) -> None:
        draft = EventDraft(
            type=f"{entity.__name__.lower()}.{what}",
            payload={"id": id},
            business_id=TENANT,
            source="handler:test",
        )

        def both(tx: Any) -> None:
            work(tx)
            self.log.append(tx, [draft])

        await SqliteStore.write(self.store, both)

    async def poll(self, entity: str) -> None:
        await self.engine.request_poll(entity=entity)
        await self.deliver()

    async def rows(self, table: Any) -> list[Any]:
        return await self.store.read(lambda tx: tx.rows(sa.select(table)))
