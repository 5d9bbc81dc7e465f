"""What may be imported where, beyond the layers that import-linter holds."""

import ast
import subprocess
import sys

import pytest

import dovetail

# Everything else goes through the Transport port.
HTTP_MODULES = {
    "src/dovetail/connector_sdk/http.py": "the product's one door to platforms",
    "src/dovetail/simulator_sdk/outgoing.py": "simulators share no code with connectors",
}
HEAVY = ("sqlalchemy", "aiohttp", "pydantic", "alembic", "starlette", "typer", "rich", "msgspec")

# What an app needs when it runs, and a declaration does not.
NEVER_TO_DECLARE = ("dovetail.app", "dovetail.connectors.", "dovetail.simulators.", "dovetail.sync")

# What reads the outside world; product code asks core.ports for it (decision 0008).
OUTSIDE = {
    "time.time",
    "time.monotonic",
    "time.perf_counter",
    "time.sleep",
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
    "uuid.uuid1",
    "uuid.uuid4",
    "random.random",
    "random.choice",
    "random.randint",
    "random.uniform",
    "random.shuffle",
}
# The ports themselves, and the layers that talk to a person, who lives in real time.
PORTS = ("src/dovetail/core/clock.py", "src/dovetail/core/ids.py", "src/dovetail/cli/")


def test_the_http_library_has_one_door_per_side(tree):
    users = {tree.name(p) for p in tree.product_files if "aiohttp" in _roots(tree, p)}

    assert users <= set(HTTP_MODULES)


def test_no_product_module_knows_of_mocks(tree):
    users = [tree.name(p) for p in tree.product_files if "unittest.mock" in tree.imports(p)]

    assert not users


def test_no_product_module_reads_the_outside_world_past_the_ports(tree):
    found = [
        f"{tree.name(path)}:{node.lineno} {ast.unparse(node.func)}()"
        for path in tree.product_files
        if not tree.name(path).startswith(PORTS)
        for node in ast.walk(tree.parse(path))
        if isinstance(node, ast.Call) and _tail(node.func) in OUTSIDE
    ]

    assert not found, f"take it from core.ports.Ports: {found}"


def test_no_product_module_imports_the_public_face(tree):
    face = {f"dovetail.{name}" for name in dovetail.__all__}

    users = {tree.name(p): sorted(tree.imports(p) & face) for p in tree.product_files}

    assert not {name: names for name, names in users.items() if names}, "import from the home"


def test_importing_the_package_loads_nothing_heavy():
    code = f"import sys, dovetail; print([name for name in {HEAVY} if name in sys.modules])"

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_the_command_line_shows_itself_without_what_it_works_with(arguments):
    heavy = [name for name in HEAVY if name not in ("typer", "rich", "msgspec")]
    code = f"import dovetail.cli.main as main; main.run({arguments})"

    loaded = _loaded_by(code)

    assert not loaded & {*heavy, "pyreqwest", "uvicorn", "granian", "opentelemetry"}
    assert not [name for name in loaded if name.startswith(NEVER_TO_DECLARE)]


def test_declaring_loads_no_platform_no_server_and_no_client():
    loaded = _loaded_by("from dovetail import Service, db, every, on, send, step")

    assert not loaded & {"alembic", "aiohttp", "pyreqwest", "starlette", "uvicorn", "typer"}
    assert not loaded & {"yaml", "croniter", "structlog", "rich"}, "only where they are used"
    assert not [name for name in loaded if name.startswith("sqlalchemy.dialects.")]
    assert len(loaded) < 550, "each module costs a user some time, each time"
    assert not [name for name in loaded if name.startswith(NEVER_TO_DECLARE)]


def _loaded_by(code):
    script = f"{code}\nimport sys\nprint('loaded', *sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stderr.rpartition("loaded ")[2].split())


def _roots(tree, path):
    return {name.partition(".")[0] for name in tree.imports(path)}


def _tail(function: ast.expr) -> str:
    return ".".join(ast.unparse(function).split(".")[-2:])
