"""Kill training at random moments, resume it, and compare it with an uninterrupted run.

    python benchmarks/kill_drill.py [--runs 20] [--seed 0] [--out DIR]

Each drill starts `ke2nt train` on drawn faces and kills it with SIGKILL one to three times, half of
the time while a checkpoint is being written, otherwise after a random time; then it lets the run
finish. Weights, averages, optimizer state and log (except for the times) must equal those of the
uninterrupted run, bit for bit.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ke2nt.runtime.digest import digest_file
from ke2nt.training.run_directory import RunDirectory

SETTINGS = (
    "model.backbone=test_resnet",
    "model.backbone_options={}",
    "model.stem=standard",
    "model.image_size=32",
    "model.dropout=0.1",
    "data.options={count: 320, seed: 7, size: 32}",
    "optim.epochs=8",
    "optim.batch_size=16",
    "optim.ema=0.99",
    "device=cpu",
    "keep=true",
)
EPOCHS_BEFORE_A_KILL = 7


def start(run: Path) -> subprocess.Popen[bytes]:
    """Start a run, or resume it."""
    resume = RunDirectory(run).exists
    words = ["--resume", str(run)] if resume else ["quickstart", *SETTINGS, f"out={run}"]
    return subprocess.Popen(
        [sys.executable, "-m", "ke2nt", "train", *words, "--quiet"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def finish(run: Path) -> None:
    """Start or resume a run and let it end."""
    process = start(run)
    _, err = process.communicate()
    if process.returncode:
        sys.exit(f"the run failed:\n{err.decode()}")


def count_epochs(run: Path) -> int:
    """Return the number of epochs in a run's log."""
    log = run / "log.jsonl"
    return len(log.read_text().splitlines()) if log.exists() else 0


def is_writing_checkpoint(run: Path) -> bool:
    """Whether a checkpoint is being written: its folder does not have its final name yet."""
    folder = run / "checkpoints"
    return folder.is_dir() and any(path.name.startswith(".") for path in folder.iterdir())


def kill(run: Path, rng: random.Random, seconds: float) -> str | None:
    """Kill a run at a random moment.

    Args:
        run: Folder of the run, started or resumed here.
        rng: Chooses the moment.
        seconds: Time of an uninterrupted run.

    Returns:
        What the run was doing, or None if it ended first.
    """
    during_write = rng.random() < 0.5
    delay = rng.uniform(0.0, seconds)
    earliest = rng.randrange(EPOCHS_BEFORE_A_KILL)
    process = start(run)
    started = time.monotonic()

    while process.poll() is None:
        writing = is_writing_checkpoint(run)
        overdue = time.monotonic() - started > delay
        if (writing and count_epochs(run) >= earliest) if during_write else overdue:
            process.send_signal(signal.SIGKILL)
            process.wait()
            activity = "writing a checkpoint" if writing else "running"
            return f"{activity} after {count_epochs(run)} epochs"
        time.sleep(0.0002)  # a checkpoint is written in milliseconds
    return None


def read_results(run: Path) -> dict[str, Any]:
    """Return what must be equal in both runs."""
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    for record in log:
        record.pop("seconds")
    newest = max(path for path in (run / "checkpoints").iterdir() if path.name[0] != ".")
    return {
        "log": log,
        "state": digest_file(newest / "state.safetensors"),
        "model": digest_file(run / "model" / "model.safetensors"),
        "metrics": json.loads((run / "metrics.json").read_text()),
    }


def kill_and_finish(run: Path, rng: random.Random, seconds: float) -> list[str]:
    """Kill a run one to three times and let it finish; return what it was doing each time."""
    moments: list[str] = []
    kills = rng.randint(1, 3)
    while len(moments) < kills:
        moment = kill(run, rng, seconds)
        if moment is not None:
            moments.append(moment)
        elif moments:
            break
        else:
            shutil.rmtree(run)  # a run that was never killed proves nothing
    finish(run)
    return moments


def main() -> None:
    """Run all drills, print a line for each, and exit with 1 if a run differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20, help="runs that are killed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/kill-drill"))
    args = parser.parse_args()
    rng = random.Random(args.seed)

    # The uninterrupted run also says how long a run takes.
    shutil.rmtree(args.out, ignore_errors=True)
    whole = args.out / "whole"
    started = time.monotonic()
    finish(whole)
    seconds = time.monotonic() - started
    expected = read_results(whole)

    num_equal, num_kills = 0, 0
    for number in range(1, args.runs + 1):
        run = args.out / f"killed-{number:02d}"
        moments = kill_and_finish(run, rng, seconds)
        num_kills += len(moments)

        results = read_results(run)
        same = [key for key, value in expected.items() if results[key] == value]
        equal = len(same) == len(expected)
        num_equal += equal
        verdict = "equal" if equal else f"only {same} equal"
        print(f"{number:2d}  {verdict}  killed while {'; '.join(moments)}", flush=True)
        shutil.rmtree(run)

    print(f"{num_equal} of {args.runs} runs equal, after {num_kills} kills")
    sys.exit(num_equal < args.runs)


if __name__ == "__main__":
    main()
