"""The drill that kills training at random moments; it takes a quarter of an hour."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

DRILL = Path(__file__).resolve().parents[2] / "benchmarks" / "kill_drill.py"


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_killed_runs_equal_an_uninterrupted_one(tmp_path):
    words = [sys.executable, str(DRILL), "--runs", "20", "--out", str(tmp_path / "drill")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "20 of 20 runs equal" in done.stdout
