"""Kill training at random moments, resume it, and compare with a run that was left alone.

    python benchmarks/kill_drill.py [--runs 20] [--seed 0] [--out DIR]

Each drill starts `ke2nt train` on drawn faces and kills it with SIGKILL one to three times, half of
the time while a checkpoint is being written, otherwise after a random time; then it lets it finish.
Weights, averages, optimizer state and log (but for the times) must equal those of the run that was
left alone, bit for bit.
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
)


def start(run: Path) -> subprocess.Popen[bytes]:
    """Begin a run, or go on with it."""
    begun = RunDirectory(run).exists
    words = ["--resume", str(run)] if begun else ["quickstart", *SETTINGS, f"out={run}"]
    return subprocess.Popen(
        [sys.executable, "-m", "ke2nt", "train", *words, "--quiet"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def finish(run: Path) -> None:
    """Let a run end."""
    process = start(run)
    _, err = process.communicate()
    if process.returncode:
        sys.exit(f"the run failed:\n{err.decode()}")


def epochs(run: Path) -> int:
    log = run / "log.jsonl"
    return len(log.read_text().splitlines()) if log.exists() else 0


def writes_checkpoint(run: Path) -> bool:
    """Whether a checkpoint is being written: its folder has not got its name yet."""
    folder = run / "checkpoints"
    return folder.is_dir() and any(path.name.startswith(".") for path in folder.iterdir())


def kill(run: Path, rng: random.Random, seconds: float) -> str | None:
    """Kill a run at a random moment; what it was doing, or None where it came to its end first."""
    during_write = rng.random() < 0.5
    after = rng.uniform(0.0, seconds)
    earliest = rng.randrange(7)  # epochs that the log holds before a write is waited for
    process = start(run)
    begin = time.monotonic()
    while process.poll() is None:
        writing = writes_checkpoint(run)
        late = time.monotonic() - begin > after
        if (writing and epochs(run) >= earliest) if during_write else late:
            process.send_signal(signal.SIGKILL)
            process.wait()
            return f"{'writing a checkpoint' if writing else 'running'} after {epochs(run)} epochs"
        time.sleep(0.0002)
    return None


def facts(run: Path) -> dict[str, Any]:
    """What must be equal."""
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20, help="runs that are killed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/kill-drill"))
    args = parser.parse_args()
    rng = random.Random(args.seed)
    shutil.rmtree(args.out, ignore_errors=True)
    whole = args.out / "whole"
    begin = time.monotonic()
    finish(whole)
    seconds = time.monotonic() - begin
    expected, equal, kills = facts(whole), 0, 0
    for number in range(1, args.runs + 1):
        run = args.out / f"killed-{number:02d}"
        moments: list[str] = []
        wanted = rng.randint(1, 3)
        while len(moments) < wanted:
            moment = kill(run, rng, seconds)
            if moment is not None:
                moments.append(moment)
            elif moments:
                break
            else:
                shutil.rmtree(run)  # a run that nothing befell proves nothing
        finish(run)
        kills += len(moments)
        found = facts(run)
        same = [key for key, value in expected.items() if found[key] == value]
        equal += len(same) == len(expected)
        verdict = "equal" if len(same) == len(expected) else f"only {same} equal"
        print(f"{number:2d}  {verdict}  killed while {'; '.join(moments)}", flush=True)
        shutil.rmtree(run)
    print(f"{equal} of {args.runs} runs equal, after {kills} kills")
    sys.exit(equal < args.runs)


if __name__ == "__main__":
    main()
