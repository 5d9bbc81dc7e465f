"""
Write the pages that the code already knows: ``python docs/generate.py``, or ``make docs``.

With ``--check`` nothing is written; the exit status tells whether a page is out of date, and a
test asks for that. Each page has one function below, from facts to Markdown.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

import dovetail.connectors
from dovetail import errors
from dovetail.cli.credential import WAYS
from dovetail.cli.main import COMMANDS
from dovetail.cli.screen import EXIT_CODES
from dovetail.connector_sdk.base import Account, Connector, Owners, Records, Webhooks
from dovetail.connector_sdk.spec import Capability, ConcurrencyLimit, RateLimit, Resource

DOCS = Path(__file__).resolve().parent
NOTE = "<!-- Made by `make docs` from {source}; edit that instead. -->\n"
ROLES = {"account": Account, "records": Records, "owners": Owners, "webhooks": Webhooks}


def main(arguments: list[str] | None = None) -> int:
    """Write or check every page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when out of date")
    check = parser.parse_args(arguments).check
    stale = [path for path, make in PAGES.items() if not is_current(path, make())]
    for path in stale:
        if check:
            print(f"docs/{path} is out of date; run: make docs", file=sys.stderr)
        else:
            (DOCS / path).write_text(PAGES[path](), encoding="utf-8")
            print(f"docs/{path}")
    return 1 if check and stale else 0


def is_current(path: str, text: str) -> bool:
    """Tell whether the page on disk says *text*."""
    page = DOCS / path
    return page.is_file() and page.read_text(encoding="utf-8") == text


# --- errors ---


def errors_page() -> str:
    """Return one section per error code, in the order of the tree."""
    tree = (inspect.getdoc(errors) or "").partition("::\n\n")[2].partition("\n\n")[0]
    lines = [
        "# Errors",
        "",
        NOTE.format(source="the docstrings of `src/dovetail/errors.py`"),
        "Every error has a stable `code`: the CLI prints it, `--json` carries it, and a dead",
        "letter keeps it. A message says what happened, to which thing, and what to do. The tree",
        "is sorted by what happens next:",
        "",
        "```",
        inspect.cleandoc(tree).replace("``", ""),
        "```",
        "",
    ]
    for error in error_classes():
        lines += [f"## {error.code}", "", f"`{error.__name__}`{_lineage(error)}", ""]
        lines += [markdown(inspect.getdoc(error) or ""), ""]
    return "\n".join(lines)


def error_classes(root: type[errors.DovetailError] = errors.DovetailError) -> Iterator[type]:
    """Yield the errors of Dovetail depth first, each before its children."""
    yield root
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from error_classes(child)


def _lineage(error: type) -> str:
    parents = [base.__name__ for base in error.__mro__[1:] if base not in (Exception, object)]
    named = [name for name in parents if name != "BaseException"]
    return f", a kind of {', '.join(f'`{name}`' for name in named)}" if named else ""


# --- connectors ---


def connectors_page(connectors: list[type[Connector]] | None = None) -> str:
    """Return a table of platforms and one of resources per platform; of all that there are."""
    connectors = connector_classes() if connectors is None else connectors
    lines = [
        "# Connectors",
        "",
        NOTE.format(source="the declarations in `src/dovetail/connectors/`"),
        "What each platform can do, as its connector declares it. Whatever is not declared is",
        "refused before a request is sent. The guarantee says how one effect is kept when the",
        "answer to a write is lost: `idempotency-header`, the platform knows the repeated call by",
        "a header; `platform-key`, it refuses a second record with our key, or updates the one",
        "that has it; `look-up`, the write is looked up before it is repeated; `idempotent`,",
        "repeating it changes nothing. Some connections have a better one: the setting that is",
        "named with it turns it on.",
        "",
    ]
    lines += _table(
        ["Platform", "Name", "Roles", "Resources"],
        [
            [c.title, f"`{c.platform}`", _roles(c), ", ".join(r.name for r in c.resources)]
            for c in connectors
        ],
    )
    for connector in connectors:
        lines += _connector_section(connector)
    return "\n".join(lines)


def connector_classes() -> list[type[Connector]]:
    """Return the connector that each module or folder of dovetail.connectors declares."""
    found: dict[str, type[Connector]] = {}
    for module in pkgutil.iter_modules(dovetail.connectors.__path__, "dovetail.connectors."):
        for _, value in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if issubclass(value, Connector) and value.__module__.startswith(module.name):
                found[value.platform] = value
    return [found[name] for name in sorted(found)]


def _connector_section(connector: type[Connector]) -> list[str]:
    lines = [f"## {connector.title}", ""]
    if connector.__doc__:
        lines += [markdown(inspect.cleandoc(connector.__doc__)), ""]
    if connector.docs_url:
        lines += [f"The platform's own documentation: <{connector.docs_url}>", ""]
    lines += _table(
        ["Resource", "Entity", "Capabilities", "Natural key", "Batch (read, write)", "Guarantees"],
        [_resource_row(resource) for resource in connector.resources],
    )
    facts = [f"- {fact}" for resource in connector.resources for fact in _resource_facts(resource)]
    facts += [f"- {_limit(limit)}" for limit in connector.limits]
    facts += [f"- {_concurrency(limit)}" for limit in connector.concurrency]
    facts += [f"- {_ways(connector)}"] if connector.grants else []
    return [*lines, *facts, ""] if facts else lines


def _resource_facts(resource: Resource) -> Iterator[str]:
    if resource.references:
        told = (
            f"`{theirs}` as `{one.field}` ({one.resource})"
            for theirs, one in resource.references.items()
        )
        yield f"References of {resource.name}: {', '.join(told)}"
    if resource.bulk_read_from:
        yield (
            f"From {resource.bulk_read_from} changed {resource.name} on: a bulk job reads them; "
            "`bulk_read_from` changes it, 0 turns it off"
        )
    if resource.bulk_write_from:
        yield (
            f"From {resource.bulk_write_from} writes of {resource.name} in one `connector.write` "
            f"on: a bulk job does them (the sync and handlers send at most {resource.write_batch} "
            "at once); `bulk_write_from` changes it, 0 turns it off"
        )


def _ways(connector: type[Connector]) -> str:
    ways = ", ".join(f"`{WAYS[grant.name]}`" for grant in connector.grants)
    return f"Ways to a token (`--auth`): `token`, {ways}"


def _concurrency(limit: ConcurrencyLimit) -> str:
    setting = f"; `{limit.setting}` changes it" if limit.setting else ""
    return f"Limit `{limit.name}`: {limit.limit} calls at the same time{setting}"


def _resource_row(resource: Resource) -> list[str]:
    declared = [item.value for item in Capability if item in resource.capabilities]
    guarantees = [f"{action}: `{kept}`" for action, kept in sorted(resource.guarantees.items())]
    guarantees += [
        f"{action}: `{kept}` (with `{setting}`)"
        for setting, better in sorted(resource.guarantees_with.items())
        for action, kept in sorted(better.items())
    ]
    return [
        resource.name,
        f"`{resource.entity.__name__}`",
        ", ".join(declared),
        _key(resource),
        f"{resource.read_batch}, {resource.write_batch}",
        ", ".join(guarantees),
    ]


def _key(resource: Resource) -> str:
    if resource.key_field is None:
        return ""
    return f"`{resource.key_field}`" + (" (unique)" if resource.key_is_unique else "")


def _limit(limit: RateLimit) -> str:
    where = "" if limit.path == "*" else f" on `{limit.path}`"
    setting = f"; a bigger plan sets `{limit.setting}`" if limit.setting else ""
    return f"Limit `{limit.name}`: {limit.limit} calls per {limit.per_s:g} s{where}{setting}"


def _roles(connector: type[Connector]) -> str:
    return ", ".join(name for name, role in ROLES.items() if _plays(connector, role))


def _plays(connector: type[Connector], role: type) -> bool:
    methods = [name for name in vars(role) if not name.startswith("_")]
    return all(hasattr(connector, name) for name in methods)


# --- decisions ---


def decisions_page() -> str:
    """Return the index of the decision records."""
    lines = [
        "# Decisions",
        "",
        NOTE.format(source="the titles of the records in this folder"),
        "One page each: the context, the decision, what we gave up, and how we would notice that",
        "it was wrong. A record is not rewritten when a later one replaces it; it says which.",
        "",
    ]
    for record in decision_records():
        title = record.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ").strip()
        lines.append(f"- [{title}]({record.name})")
    return "\n".join([*lines, ""])


def decision_records() -> list[Path]:
    """Return the records in the order of their numbers."""
    return sorted((DOCS / "decisions").glob("[0-9]*.md"))


# --- Markdown ---


def markdown(docstring: str) -> str:
    """Turn the marks of a docstring into Markdown's: ````x```` into ```x```, sections into bold."""
    text = docstring.replace("``", "`")
    return re.sub(r"^(\w[\w ]*):$", r"**\1:**\n", text, flags=re.MULTILINE)


def _table(heads: list[str], rows: list[list[str]]) -> list[str]:
    if not rows:
        return []
    lines = [heads, ["---"] * len(heads), *rows]
    return [*(f"| {' | '.join(cells)} |" for cells in lines), ""]


# --- the command line ---


def cli_page() -> str:
    """Return every command with its arguments and options, as its own help has them."""
    lines = [
        "# The command line",
        "",
        NOTE.format(source="the commands in `src/dovetail/cli/`"),
        "Every command takes `--json` (one JSON document, or one a line, and nothing else on",
        "standard output), `--debug` (show where an error happened) and `--help`. Hints, progress",
        "and errors for people go to standard error.",
        "",
        "| Exit code | Means |",
        "|---|---|",
        *(f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items()),
        "",
    ]
    for name in COMMANDS:
        command = get_command(importlib.import_module(f"dovetail.cli.{name}").app)
        lines += _command_section(f"dovetail {name}", command, "##")
        for child, sub in sorted(getattr(command, "commands", {}).items()):
            lines += _command_section(f"dovetail {name} {child}", sub, "###")
    return "\n".join(lines)


def _command_section(name: str, command: Any, heading: str) -> Iterator[str]:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option"]
    usage = " ".join([name, *(one.metavar or one.name.upper() for one in arguments)])
    yield from (
        heading + f" {name}",
        "",
        inspect.cleandoc(command.help or "").replace("<", "&lt;"),
        "",
    )
    if getattr(command, "commands", None):
        return
    yield from ("```", usage + " [OPTIONS]", "```", "")
    shown = [one for one in options if one.name not in {"json", "debug", "help"}]
    if shown:
        yield from ("| Option | Meaning |", "|---|---|")
    for one in shown:
        value = "" if one.is_flag else f" {one.metavar or 'VALUE'}"
        default = one.default
        tail = f" Default: `{default}`." if default not in (None, False, [], ()) else ""
        yield f"| `{one.opts[0]}{value}` | {one.help or ''}{tail} |"
    yield ""


# --- figures ---


def figures_page() -> str:
    """Return the table of the last measurement that was published."""
    report = json.loads((DOCS.parent / "benchmarks" / "figures.json").read_text(encoding="utf-8"))
    machine = report["machine"]
    lines = [
        "# Figures",
        "",
        NOTE.format(source="`benchmarks/figures.json`, which `make bench PUBLISH=1` writes"),
        "Each figure is a median of five rounds, unless its note says otherwise, measured in turn",
        "with the peer or the limit beside it, so that both had the same machine. Rates are better",
        "when higher, times when lower. A goal that is missed says so. Measure your own machine",
        "with `make bench`.",
        "",
        "Whoever waits for the disk more often gains more from a quick one: where a commit took",
        "0.4 ms, a tenth of what it took here, DBOS did 71 events/s and Dovetail 86 times as many.",
        "",
        f"Measured on {machine['system']} with {machine['processors']} processors, Python "
        f"{machine['python']}, SQLite {machine['sqlite']}; the load average was "
        f"{machine['load_before']} before and {machine['load_after']} after.",
        "",
    ]
    heads = ["What", "Dovetail", "Beside", "Theirs", "Ratio", "Goal", "Holds", "Note"]
    lines += _table(heads, [_figure_row(row) for row in report["rows"]])
    return "\n".join(lines)


def _figure_row(row: dict[str, Any]) -> list[str]:
    unit = row["unit"]
    return [
        row["name"],
        f"{_number(row['ours'])} {unit}",
        row["beside"],
        f"{_number(row['theirs'])} {unit}" if row["theirs"] is not None else "",
        _number(row["ratio"]),
        row["goal"] or "",
        {None: "", True: "yes", False: "**no**"}[row["holds"]],
        row["note"],
    ]


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


PAGES: dict[str, Callable[[], str]] = {
    "reference/figures.md": figures_page,
    "reference/cli.md": cli_page,
    "errors.md": errors_page,
    "connectors.md": connectors_page,
    "decisions/README.md": decisions_page,
}

if __name__ == "__main__":
    sys.exit(main())
