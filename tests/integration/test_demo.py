"""The main job: the demo agrees in the end, with a worker killed in the middle."""

import subprocess
import sys
from pathlib import Path

DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo.py"


def test_the_demo_ends_in_agreement():
    done = subprocess.run(
        [sys.executable, DEMO, "--records", "260", "--within", "150"],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "The two sides agree" in done.stdout
    assert "SIGKILL" in done.stdout
