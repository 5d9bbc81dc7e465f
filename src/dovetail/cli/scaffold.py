"""
A project with a connector, a simulator and their tests, from the templates in `template/`.

A template is the file as it will be, with ``$names``; a line that is nothing but a name whose text
is empty goes.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template
from textwrap import indent

from dovetail.cli.scaffold_auth import AuthChoice
from dovetail.cli.scaffold_entity import CONTACT, EntityChoice
from dovetail.errors import EnvironmentInUseError, UsageError

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_MOST_LETTERS = 20
_PERSON = '''\
    def seed_person(self, person: Person, number: int) -> None:
        """Insert one person as they are."""
        known = person.values()
        fields = {theirs: known.get(ours) for ours, theirs in self.columns["contacts"].items()}
        fields["email"] = person.email.strip().lower() if person.email else None
        self.table("contacts").insert(
            self._new_id(),
            {**fields, "reference": None},
            at=person.created_at,
            modified_at=max(person.modified_at, person.created_at),
        )'''
_NOBODY = '''\
    def seed_person(self, person: Person, number: int) -> None:
        """Insert nobody: people are contacts, which are not among the resources."""'''

_OAUTH = {
    "grant_import": "from dovetail.connector_sdk.grant import AuthorizationCode, ClientCredentials",
    "own_import": "from $package.oauth import AUTHORIZE_PATH, TOKEN_PATH, OAuthApi\n",
    "oauth_paths": "    authorize_path = AUTHORIZE_PATH\n    token_path = TOKEN_PATH",
    "oauth_init": "        self._oauth = OAuthApi(self)",
    "oauth_clear": "        self._oauth.clear()",
    "oauth_routes": "            *self._oauth.routes(),",
    "oauth_admit": '        if template.startswith("/oauth/"):\n            return None',
    "oauth_row": "| `src/$package/oauth.py` | How the stand-in gives tokens |",
}
"""What stands in the templates of a platform with OAuth, and nothing elsewhere."""


@dataclass(frozen=True, slots=True)
class Project:
    """
    What a new project is made of.

    Args:
        name: The platform, as declarations name it.
        title: The platform's own spelling.
        auth: How it wants to be shown who calls.
        entities: What it holds; at least one.
        dovetail_version: Which version it needs at least.
    """

    name: str
    title: str
    auth: AuthChoice
    entities: tuple[EntityChoice, ...]
    dovetail_version: str

    @property
    def package(self) -> str:
        """The package that is imported."""
        return f"dovetail_{self.name}"

    @property
    def project(self) -> str:
        """The project that is installed, and the usual name of its folder."""
        return self.package.replace("_", "-")

    def files(self) -> dict[str, str]:
        """Return path -> text of every file."""
        source, example = f"src/{self.package}", f"{self.name}_with_hubspot"
        names = {
            "README.md": "README.md",
            "pyproject.toml": "pyproject.toml",
            ".gitignore": "gitignore",
            f"examples/{example}.py": "example.py",
            f"{source}/__init__.py": "package.py",
            f"{source}/connector.py": "connector.py",
            f"{source}/wire.py": "wire.py",
            f"{source}/simulator.py": "simulator.py",
            "tests/conftest.py": "conftest.py",
            "tests/test_contract.py": "test_contract.py",
            "tests/test_simulator.py": "test_simulator.py",
            "tests/test_sync_with_hubspot.py": "test_sync.py",
        }
        if self._has_oauth:
            names[f"{source}/oauth.py"] = "oauth.py"
            names["tests/test_oauth.py"] = "test_oauth.py"
        known = self._values()
        made = {path: _filled(_template(name), known) for path, name in names.items()}
        return {**made, f"{source}/py.typed": ""}

    @property
    def _has_oauth(self) -> bool:
        return self.auth.name == "oauth2"

    def _values(self) -> dict[str, str]:
        named = {
            "name": self.name,
            "title": self.title,
            "upper": self.name.upper(),
            "package": self.package,
            "project": self.project,
            "class_name": self._class_name(),
            "header": self.name.replace("_", "-"),
            "header_title": "-".join(part.capitalize() for part in self.name.split("_")),
            "example": f"{self.name}_with_hubspot",
            "dovetail_version": self.dovetail_version,
        }
        parts = {**self._entity_parts(), **self._auth_parts()}
        return {**named, **{key: Template(text).substitute(named) for key, text in parts.items()}}

    def _class_name(self) -> str:
        own = "".join(part.capitalize() for part in self.name.split("_"))
        texts = "".join(_template(name) for name in ("connector.py", "simulator.py", "oauth.py"))
        words = {*re.findall(r"\b[A-Z]\w+", texts), *(one.entity for one in self.entities)}
        return f"{own}Platform" if own in words or keyword.iskeyword(own) else own

    def _entity_parts(self) -> dict[str, str]:
        entities = self.entities
        words = [one.plural for one in entities]
        unique = [f'"{one.plural}": "{one.key}"' for one in entities if one.key]
        return {
            "entity_imports": ", ".join(sorted(one.entity for one in entities)),
            "entity_words": _listed(words),
            "summary": _listed(words).capitalize(),
            "entity_list": ", ".join(f'"{word}"' for word in words),
            "resources": "\n".join(one.resource() for one in entities),
            "resource_tuple": _tuple(one.plural.upper() for one in entities),
            "field_patterns": "\n".join(one.patterns() for one in entities).replace("$", "$$"),
            "unique_fields": ", ".join(unique),
            "columns": "\n".join(one.columns() for one in entities),
            "mappings": "\n".join(one.mapping(self.name) for one in entities),
            "samples": "\n".join(one.sample() for one in entities),
            "cases": "\n".join(one.case() for one in entities),
            "first_plural": entities[0].plural,
            "first_record": entities[0].record(),
            "seed_person": _PERSON if CONTACT in entities else _NOBODY,
        }

    def _auth_parts(self) -> dict[str, str]:
        auth = self.auth
        return {
            "auth_import": f"from dovetail.connector_sdk.auth import {auth.imported}",
            "auth_values": indent(auth.values, " " * 4),
            "std_import": auth.std_import,
            "credentials": indent(auth.credentials, " " * 12),
            "is_allowed": indent(auth.is_allowed, " " * 8),
            "auth_headers": auth.headers,
            "basic_import": "from dovetail.connector_sdk.auth import basic"
            if "basic(" in auth.headers
            else "",
            "connect_step": auth.connect,
            **(_OAUTH if self._has_oauth else dict.fromkeys(_OAUTH, "")),
        }


def check_name(name: str, built_in: Iterable[str]) -> None:
    """
    Refuse a name that a platform cannot have.

    Raises:
        UsageError: The message says what a name looks like, or whose it is.
    """
    if not _NAME.fullmatch(name) or keyword.iskeyword(name) or len(name) > _MOST_LETTERS:
        raise UsageError(
            f"{name!r} cannot be the name of a platform. Take up to {_MOST_LETTERS} small letters, "
            "digits and single underscores, a letter first: acme, acme_crm."
        )
    if name in built_in:
        raise UsageError(
            f"{name!r} comes with Dovetail, whose connector would be used instead. Take another "
            f"name, such as {name}_own, or use the one there is: `dovetail connect {name}`."
        )


def write_project(project: Project, folder: Path) -> list[Path]:
    """
    Write every file into a folder that is new or empty; return their paths.

    Raises:
        EnvironmentInUseError: There is something in the folder, or it cannot be written.
    """
    files = project.files()
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise EnvironmentInUseError(
                f"{folder} is there already, with something in it; nothing was written. Name "
                "another folder with --dir, or remove that one."
            )
        paths = []
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            paths.append(path)
    except OSError as error:
        raise EnvironmentInUseError(
            f"{folder} cannot be written: {error.strerror}. Name another folder with --dir."
        ) from error
    return paths


def _template(name: str) -> str:
    place = resources.files("dovetail.cli") / "template" / "connector" / f"{name}.txt"
    return place.read_text(encoding="utf-8")


def _filled(text: str, values: Mapping[str, str]) -> str:
    lines = [
        line
        for line in text.splitlines(keepends=True)
        if not (line.startswith("$") and values.get(line.strip().lstrip("$"), line) == "")
    ]
    return Template("".join(lines)).substitute(values)


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _tuple(names: Iterable[str]) -> str:
    inner = list(names)
    return f"({', '.join(inner)},)" if len(inner) == 1 else f"({', '.join(inner)})"
