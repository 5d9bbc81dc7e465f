"""HubSpot's published calls and models: what a simulator answers and a connector asks fits them."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

ROOT = Path(__file__).parents[2]
SPECS = Path(os.environ.get("DOVETAIL_SPECS", ROOT / ".." / "shared" / "specs")) / "hubspot"
# The digest is of an SDK: everything in a real error body is optional (card, section 7).
_OPTIONAL = {"links", "errors", "context"}
_NOT_IN_THE_DIGEST = {"status"}
_PLAIN = {"str": str, "datetime": str, "int": int, "bool": bool, "object": object}
# A search is sorted by objects although the digest has texts.
_LOOSE = {"sorts"}


def fits(value: Any, kind: str, models: Any, where: str, loose: Any = ()) -> None:
    """Check names, required names and plain types; `kind` is a Python type as text."""
    if kind in models:
        model = models[kind]
        assert isinstance(value, dict), f"{where}: {value!r} is no {kind}"
        unknown = set(value) - set(model["properties"]) - _NOT_IN_THE_DIGEST
        missing = set(model.get("required", ())) - set(value) - _OPTIONAL
        assert not unknown, f"{where}: {kind} has no {unknown}"
        assert not missing, f"{where}: {kind} needs {missing}"
        for name, its_kind in model["properties"].items():
            if name in value and name not in loose:
                fits(value[name], its_kind, models, f"{where}.{name}", loose)
        for name, allowed in model.get("enum", {}).items():
            assert value.get(name) in [*allowed, None], f"{where}.{name}: {value[name]}"
    elif kind.startswith("list["):
        for position, item in enumerate(value):
            fits(item, kind[5:-1], models, f"{where}[{position}]", loose)
    elif kind.startswith("dict["):
        for name, item in value.items():
            fits(item, kind[5:-1].split(", ", 1)[1], models, f"{where}.{name}", loose)
    else:
        assert value is None or isinstance(value, _PLAIN[kind]), f"{where}: {value!r} {kind}"


class VendorDigest:
    """
    A transport around another one: each request and answer must fit the description.

    `seen` has the operations that were called, as ``associations_v4 batch_api.create``.
    """

    def __init__(self, inner: Any, base: str) -> None:
        self.inner = inner
        self.base = base
        self.seen: list[str] = []
        self.calls: list[tuple[str, str, Any]] = []
        self.operations: list[tuple[str, re.Pattern[str], dict[str, Any], dict[str, Any]]] = []
        for file in sorted(SPECS.glob("*.json")):
            described = json.loads(file.read_bytes())
            for one in described["operations"]:
                path = re.escape(one["path"].rstrip("/")).replace(r"\{", "{").replace(r"\}", "}")
                pattern = re.compile(re.sub(r"{[^}]*}", "[^/]+", path) + "/?")
                self.operations.append((file.stem, pattern, one, described["models"]))

    async def send(self, request: Any) -> Any:
        path, _, query = request.url.removeprefix(self.base).partition("?")
        body = json.loads(request.body) if request.body else None
        self.calls.append((request.method, path, body))
        answer = await self.inner.send(request)
        if path.startswith("/crm/"):
            self._check(request.method, path, query, body, answer)
        return answer

    def _check(self, method: str, path: str, query: str, body: Any, answer: Any) -> None:
        name, operation, models = self._operation(method, path)
        self.seen.append(name)
        unknown = set(parse_qs(query)) - set(operation.get("query", ()))
        assert not unknown, f"{name} takes no {unknown}"
        if operation.get("body"):
            fits(body, operation["body"], models, f"{name} request", _LOOSE)
        else:
            assert body is None, f"{name} takes no body"
        if answer.status >= 400:
            return
        model = operation["responses"].get(str(answer.status))
        if model is None:
            assert answer.status == 204, f"{name} does not answer {answer.status}"
            return
        fits(json.loads(answer.body), model, models, f"{name} answer")

    def _operation(self, method: str, path: str) -> tuple[str, Any, Any]:
        found = [
            (f"{file} {one['sdk']}", one, models)
            for file, pattern, one, models in self.operations
            if one["method"] == method and pattern.fullmatch(path)
        ]
        assert found, f"HubSpot describes no {method} {path}"
        # The generic objects have the same paths as the named ones, with a placeholder in them.
        return min(found, key=lambda one: one[1]["path"].count("{"))
