"""Benchmarks still run; what they measure is for `make bench`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.real_time
def test_every_benchmark_measures_something():
    command = [sys.executable, "-m", "benchmarks", "--items", "100", "--json"]
    once = os.environ | {"BENCH_ROUNDS": "1"}
    modules = {
        path.stem
        for path in (ROOT / "benchmarks").glob("*.py")
        if "\ndef measure(" in path.read_text(encoding="utf-8")
    }

    done = subprocess.run(
        command, cwd=ROOT, env=once, capture_output=True, text=True, check=False, timeout=120
    )

    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {row["benchmark"] for row in rows} == modules
    assert all(row["ours"] > 0 for row in rows)
    assert all(row["unit"] and row["beside"] for row in rows)
