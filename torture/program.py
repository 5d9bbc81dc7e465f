"""
What is tortured: the CRM sync, and handlers that use everything that must survive a crash.

Each step appends one line to a file and forces it to the disk, so that whoever reads the file
sees every time that a step ran, whatever became of the process afterwards.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from pathlib import Path

from dovetail import Entity, Event, Retry, Service, db, every, idempotent, on, send, step
from dovetail.entities import Contact
from dovetail.errors import PermanentError
from dovetail.service.context import increment

FOLDER = Path(os.environ["TORTURE_FOLDER"])
LINES = FOLDER / "steps.jsonl"
HEALED = FOLDER / "healed"

sync = Service.create(
    name="Tortured sync",
    type="automation",
    subtype="integration",
    integration={
        "platforms": ["hubspot", "salesforce"],
        "sync_mode": "bidirectional",
        "entities": ["contacts"],
        "conflict_resolution": "last-write-wins",
        "schedule": {"realtime": ["contacts"], "poll_interval": "2 seconds"},
    },
    mappings={
        "contact": {
            "hubspot": {
                "firstname": "first_name",
                "lastname": "last_name",
                "email": "email",
                "phone": "phone",
                "jobtitle": "job_title",
                "city": "city",
            },
            "salesforce": {
                "FirstName": "first_name",
                "LastName": "last_name",
                "Email": "email",
                "Phone": "phone",
                "Title": "job_title",
                "MailingCity": "city",
            },
        },
    },
)


class Tally(Entity):
    """How many jobs were done, counted by the runs themselves."""

    total: int = 0


class Job(Entity):
    """A job that was done, with what its steps returned."""

    number: int = 0
    tokens: list[str] = []


class Seen(Entity):
    """A run that handled an event, and which."""

    handler: str = ""
    about: str = ""


def note(step_name: str, about: str) -> str:
    """Append a line, durably, and return the token that it holds."""
    token = uuid.uuid4().hex
    line = {"step": step_name, "about": about, "token": token, "at": time.time_ns() // 1000}
    handle = os.open(LINES, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(handle, json.dumps(line).encode() + b"\n")
        os.fsync(handle)
    finally:
        os.close(handle)
    return token


@on("job.asked", retry=Retry(attempts=2, base_s=0.05, max_s=0.2))
async def work(event: Event) -> None:
    """Three steps, one of them once per number; a poisoned job fails until it is healed."""
    number = event.payload["number"]
    tokens = [await step("first", note, "first", event.id)]
    tokens.append(await idempotent(f"charge:{number}")(note, "charge", str(number)))
    if event.payload["poisoned"] and not HEALED.exists():
        raise PermanentError("This job is poisoned until the file `healed` is there.")
    tokens.append(await step("last", note, "last", event.id))
    await db.create(Job, number=number, tokens=tokens)
    await db.update(Tally, "tally", total=increment(1))
    await send("job.done", number=number, key=f"done-{number}")


@on("job.done")
async def record(event: Event) -> None:
    """Note that the event arrived."""
    await db.create(Seen, handler="record", about=event.id)


@on(Contact.created, Contact.updated)
async def greet(event: Event) -> None:
    """Do something once for each change of a contact."""
    await step("greet", note, "greet", event.id)
    await db.create(Seen, handler="greet", about=event.id)


@every("1 second")
async def tick(event: Event) -> None:
    """Note each tick."""
    await step("tick", note, "tick", event.id)
    await db.create(Seen, handler="tick", about=event.id)
