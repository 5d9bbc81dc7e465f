"""
Put uv into .uv/, with nothing but this Python: ``python scripts/bootstrap.py``.

uv then builds .venv from uv.lock. It lives in a folder of its own, so that syncing .venv cannot
remove it. This file must parse on any Python 3, in order to say that it is too old.
"""

import shutil
import subprocess
import sys
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent / ".uv"
UV = HOME / "bin" / "uv"
REQUIREMENT = "uv>=0.5"
OLDEST = (3, 11)


def main() -> int:
    """Install uv, or say what is missing and what to do about it."""
    if sys.version_info < OLDEST:
        return stop(
            "Dovetail needs Python 3.11 or newer; {} is {}.".format(  # noqa: UP032 - old Pythons parse this
                sys.executable, sys.version.split()[0]
            ),
            "Install a newer one and run: make setup PYTHON=/path/to/python3.11",
        )
    print("setup: installing uv into .uv", flush=True)
    problems = []
    for install in (from_venv, from_path, from_pip):
        problem = install()
        if not problem:
            return 0
        problems.append(problem)
    return stop(
        "uv could not be installed.",
        *problems,
        "One of these helps: the venv module (Debian, Ubuntu: apt install python3-venv), pip, or "
        "uv itself on the PATH; behind a proxy or a mirror, pip's own settings (PIP_INDEX_URL, "
        "HTTPS_PROXY, PIP_CERT). Then run make again.",
    )


def from_venv() -> str:
    """Install uv into a fresh environment; return what went wrong, or nothing."""
    made = run(sys.executable, "-m", "venv", "--clear", str(HOME))
    if made:
        return "venv: " + made
    failed = run(str(HOME / "bin" / "python"), "-m", "pip", "install", "--quiet", REQUIREMENT)
    return "pip in .uv: " + failed if failed else ""


def from_path() -> str:
    """Use the uv that is already installed; return what went wrong, or nothing."""
    found = shutil.which("uv")
    if not found:
        return "PATH: there is no uv"
    link(Path(found))
    return ""


def from_pip() -> str:
    """Let this Python's own pip unpack uv into .uv; return what went wrong, or nothing."""
    target = HOME / "lib"
    failed = run(
        sys.executable, "-m", "pip", "install", "--quiet", "--target", str(target), REQUIREMENT
    )
    if failed:
        return "pip of this Python: " + failed
    link(target / "bin" / "uv")
    return ""


def link(program: Path) -> None:
    """Make .uv/bin/uv stand for *program*."""
    UV.parent.mkdir(parents=True, exist_ok=True)
    if UV.is_symlink() or UV.exists():
        UV.unlink()
    UV.symlink_to(program)


def run(*command: str) -> str:
    """Run *command*; return the last line that it complained with, or nothing when it succeeded."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own
    if done.returncode == 0:
        return ""
    said = (done.stderr.strip() or done.stdout.strip() or "failed without a word").splitlines()
    return next((line for line in said if "ensurepip is not" in line), said[-1]).strip()


def stop(*sentences: str) -> int:
    """Tell the person and return the exit status."""
    for sentence in sentences:
        print("setup: " + sentence, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
