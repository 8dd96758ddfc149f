"""Speed with image towers of CLIP and SigLIP: a training step, and embedding images.

Full-size architectures with random weights, in turns: whole epochs of `ke2nt train` against the
bare tower's forward and backward pass with the same optimizer, precision and memory format
(`ke2nt.speed.training`), and the recognizer on uint8 images against the bare tower on normalized
ones.

    python benchmarks/clip_towers.py --out clip_towers.json

On one thread of a CPU rates count processor time, which leaves out what other programs take.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file

from ke2nt.banks.text_bank import TextBank
from ke2nt.config.load import load_config
from ke2nt.models.ke2nt import KE2NT
from ke2nt.runtime.atomic import write_json
from ke2nt.runtime.provenance import machine
from ke2nt.speed.measure import take_turns
from ke2nt.speed.training import training_speed

ARCHITECTURES = ("ViT-B-32", "ViT-B-16", "ViT-B-16-SigLIP")
SIZE = 224


def save_random_model(name: str, folder: Path) -> str:
    """Write an architecture with random weights as a folder; return its name in ke2nt."""
    torch.manual_seed(0)
    model = open_clip.create_model(name)
    folder.mkdir()
    state = {key: value.contiguous() for key, value in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    pixels = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    facts = {"model_cfg": open_clip.get_model_config(name), "preprocess_cfg": pixels}
    (folder / "open_clip_config.json").write_text(json.dumps(facts))
    return f"open_clip:{folder}"


def step_speed(spec: str, batch: int, steps: int, rounds: int, device: str) -> dict[str, Any]:
    """Images per second of the bare tower and of the training loop."""
    overrides = [f"model.backbone={spec}", f"model.image_size={SIZE}", "text.encoder=minilm"]
    overrides += ["precision=fp32", f"optim.batch_size={batch}", f"device={device}"]
    config = load_config("clip_vitb16", overrides)
    return training_speed(config, steps=steps, rounds=rounds, reference=False, clock=_clock(device))


def embedding_speed(spec: str, batch: int, steps: int, rounds: int, device: str) -> dict[str, Any]:
    """Images per second of the bare tower and of the recognizer, in single precision."""
    place = torch.device(device)
    model = KE2NT(TextBank.build("paper"), spec).eval().to(place)
    pixels = torch.randint(0, 256, (batch, 3, SIZE, SIZE), dtype=torch.uint8, device=place)
    images = model.preprocessing.normalize(pixels)

    works = {
        "bare": lambda: model.backbone.net(images),
        "ke2nt": lambda: model(model.preprocessing.normalize(pixels)).embeddings,
    }
    contestants = {name: _repeated(work, batch, steps) for name, work in works.items()}
    rates = take_turns(contestants, place, rounds=rounds, clock=_clock(device))
    medians = {name: rate.images_per_second for name, rate in rates.items()}
    return {**medians, "ke2nt_over_bare": medians["ke2nt"] / medians["bare"]}


def _clock(device: str) -> Callable[[], float]:
    """Processor time, where one thread computes all."""
    is_alone = device == "cpu" and torch.get_num_threads() == 1
    return time.process_time if is_alone else time.perf_counter


def _repeated(work: Callable[[], Any], batch: int, steps: int) -> Any:
    """A contestant that runs some batches without gradients."""

    @contextmanager
    def open_work() -> Iterator[Callable[[], int]]:
        def run() -> int:
            with torch.inference_mode():
                for _ in range(steps):
                    work()
            return steps * batch

        yield run

    return open_work


def main() -> None:
    """Measure every architecture, and print and write the rates."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--arch", nargs="*", default=list(ARCHITECTURES))
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    settings = (arguments.batch, arguments.steps, arguments.rounds, arguments.device)

    result: dict[str, Any] = {"machine": machine(), "batch": arguments.batch, "models": {}}
    for name in arguments.arch:
        with tempfile.TemporaryDirectory() as folder:
            spec = save_random_model(name, Path(folder) / name)
            step, embedding = step_speed(spec, *settings), embedding_speed(spec, *settings)
        result["models"][name] = {"step": step, "embedding": embedding}
        write_json(arguments.out, result)
        print(
            f"{name}: step {step['loop_over_bare']:.3f} of the bare tower's rate, "
            f"embedding {embedding['ke2nt_over_bare']:.3f}"
        )


if __name__ == "__main__":
    main()
