"""Secrets where none may be: in the log of any process, or readable in the database."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_SECRET = re.compile(r"secret|token|password|key", re.IGNORECASE)
# Access tokens that a platform gave out while the storm went on: nobody told us those.
_GIVEN = re.compile(rb"\b00D[A-Za-z0-9]{9,15}![A-Za-z0-9._]{8,}|\bpat-[a-z0-9]+-[0-9a-f-]{16,}")
_LEAST = 8


def secrets_of(platforms: Mapping[str, Mapping[str, Any]]) -> dict[str, bytes]:
    """Return what a sandbox says of its platforms -> name of each secret and the secret."""
    found: dict[str, bytes] = {}
    for platform, told in platforms.items():
        for name, value in {**told, **told["credentials"]}.items():
            if _SECRET.search(name) and isinstance(value, str) and len(value) >= _LEAST:
                found[f"{platform} {name}"] = value.encode()
    return found


def leaks(files: list[Path], secrets: Mapping[str, bytes]) -> Iterator[str]:
    """Yield each secret that can be read in one of the files, without repeating it."""
    for file in files:
        content = file.read_bytes()
        for name, secret in secrets.items():
            if secret in content:
                yield f"the {name} can be read in {file.name}"
        if _GIVEN.search(content):
            yield f"an access token can be read in {file.name}"
