"""
Sends webhooks as HubSpot would, from a process of its own, so that a kill may cut a request.

What is answered is written down: 200 is a promise, 503 asks for another try, and gets one.
"""

from __future__ import annotations

import json
import random
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dovetail.simulators.hubspot.signature import sign_v3
from torture.process import Forked, post
from torture.sender import write_down

CUT = 0
"""Written down for a request that nobody answered."""


@dataclass(frozen=True)
class Door:
    """Where webhooks go, and the secret that they are signed with."""

    url: str
    secret: str


class Hooks(Forked):
    """A process that sends webhooks."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "hooks.log")
        self.answers = folder / "hooks.jsonl"

    def run(self, door: Door, contacts: list[int], seed: int) -> None:
        """Start sending."""
        self.start(lambda: self._send(door, contacts, random.Random(seed)))

    def _send(self, door: Door, contacts: list[int], rng: random.Random) -> int:
        again: deque[tuple[float, dict[str, Any]]] = deque()
        while True:
            if again and again[0][0] <= time.monotonic():
                _, event = again.popleft()
            else:
                event = _event(rng.choice(contacts), rng.randrange(2**40, 2**48))
            for _ in range(rng.choice((1, 1, 2))):
                if self._post(door, event) == 503:
                    again.append((time.monotonic() + 1.0, event))
                    break
            time.sleep(rng.random() * 0.1)

    def _post(self, door: Door, event: dict[str, Any]) -> int:
        body = json.dumps([event]).encode()
        stamp = str(round(time.time() * 1000))
        headers = {
            "x-hubspot-signature-v3": sign_v3(door.secret, "POST", door.url, body, stamp),
            "x-hubspot-request-timestamp": stamp,
        }
        began = time.monotonic()
        try:
            status, told, _ = post(door.url, body, headers)
        except ConnectionRefusedError:
            time.sleep(0.2)
            return CUT  # nobody was there to take it
        except OSError:
            status, told = CUT, {}
        fact = {
            "event_id": event["eventId"],
            "status": status,
            "retry_after": told.get("retry-after"),
            "seconds": round(time.monotonic() - began, 3),
        }
        write_down(self.answers, [fact])
        return status


def _event(contact: int, id: int) -> dict[str, Any]:
    return {
        "eventId": id, "subscriptionId": 1, "portalId": 1, "appId": 1,
        "occurredAt": round(time.time() * 1000), "attemptNumber": 0,
        "subscriptionType": "contact.propertyChange", "propertyName": "city",
        "objectId": contact, "changeSource": "CRM_UI",
    }  # fmt: skip
