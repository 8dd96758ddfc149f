"""What an image-text model is good for: the commands for CLIP on a model that was trained here.

    python benchmarks/clip_use.py --root FERPLUS [--seeds 1 2 3] [--only zero-shot few-shot …]

Each seed trains the model of `ferplus_clip.py` and draws images; home is FER+ validation (rule
`majority`), away are drawn faces. Parts:

- zero-shot: words that the model met, words that it did not, and shipped prompt sets;
- few-shot: all methods of `ke2nt few-shot`, tuned on a part of the training usage;
- prompts: `ke2nt prompts learn` on 16 images of each class, against written prompts;
- fine-tuning: all weights and LoRA, blended with the zero-shot model by `ke2nt blend`.

Nothing is learned or chosen on the validation usage. What is finished in OUT is not done again;
OUT/NAME.md are the tables. One row is the mean over the seeds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ferplus_parts import write_training_part
from markdown_tables import format_mean, format_table

from ke2nt.datasets.catalog import load_dataset
from ke2nt.runtime.atomic import write_text
from ke2nt.runtime.seeding import derive_seed

SETS = ("simple", "paper", "synonyms", "facs")
AWAY = "drawn,split=test,count=4000,size=48"
SHOTS = ("1", "4", "16", "all")
LEARNED = {"CoOp": "0", "KgCoOp": "8"}  # name → --regularize
TUNED = {
    "full": ["model.tune=full", "optim.lr=0.0003"],
    "lora": ["model.tune=lora", "optim.lr=0.001"],
}
ALPHAS = "0:1:0.25"
TUNED_ON, CHOSEN_ON = 2000, 500  # faces of the training usage
METRICS = ("accuracy", "uar")
_TARGETS = {"ferplus": "home", "drawn": "away"}

Values = dict[tuple[str, ...], list[float]]


@dataclass(frozen=True)
class Place:
    """The files of one seed.

    Attributes:
        folder: Everything of the seed.
        root: Folder of FER+.
        seed: Seed.
    """

    folder: Path
    root: Path
    seed: int

    @property
    def encoder(self) -> str:
        """The trained image-text model."""
        return f"open_clip:{self.folder / 'open_clip'}"

    @property
    def rest(self) -> Path:
        """FER+ without the faces that the model was trained on."""
        return self.folder / "ferplus"

    @property
    def home(self) -> str:
        """FER+ validation as a target."""
        return f"ferplus={self.root},split=val,rule=majority"

    def prompts(self, name: str) -> str:
        """A prompt set of the model's words."""
        return str(self.folder / "prompts" / f"{name}.yaml")

    def run(self, result: str, *command: object, script: Path | None = None) -> Path:
        """Run a command of ke2nt, or a script, unless it has written its result."""
        path = self.folder / result
        if not path.exists():
            _start([str(script)] if script else ["-m", "ke2nt.cli.main"], command)
        return path

    def read(self, result: str, *command: object, done: Callable[[Any], bool] = bool) -> Any:
        """Return the JSON that a command of ke2nt writes, once it is complete."""
        path = self.folder / result
        if not (path.exists() and done(json.loads(path.read_text()))):
            _start(["-m", "ke2nt.cli.main"], command)
        return json.loads(path.read_text())


def _start(program: list[str], command: Sequence[object]) -> None:
    """Run Python, and stop where it fails."""
    words = [*program, *map(str, command)]
    if subprocess.run([sys.executable, *words]).returncode:
        sys.exit(f"failed: {' '.join(words)}")


def train_model(place: Place) -> None:
    """Train the image-text model of the seed."""
    script = Path(__file__).with_name("ferplus_clip.py")
    command = (place.folder, "--root", place.root, "--seed", place.seed)
    place.run("seconds.json", *command, script=script)


def zero_shot(place: Place, name: str, sets: Sequence[str]) -> Any:
    """Evaluate prompt sets at home and away."""
    targets = ("--on", place.home, "--on", AWAY)
    command = ("zero-shot", "--encoder", place.encoder, "--prompts", ",".join(sets), *targets)
    rest = ("--bootstrap", 0, "--out", place.folder / name, "--quiet")
    # a cell for each, also after an interruption
    count = 2 * len(sets)
    return place.read(
        f"{name}/zero_shot.json", *command, *rest, done=lambda found: len(found["cells"]) == count
    )


def measure_zero_shot(place: Place) -> Iterable[tuple[tuple[str, ...], float]]:
    """Yield (prompts, target, metric) and the value."""
    sets = [place.prompts("met"), place.prompts("unmet"), *SETS]
    for cell in zero_shot(place, "zero-shot", sets)["cells"]:
        yield from _cell_values(cell)


def measure_few_shot(place: Place) -> Iterable[tuple[tuple[str, ...], float]]:
    """Yield (method, shots, metric) and the value on FER+ validation."""
    for row in few_shot(place)["rows"]:
        for metric in METRICS:
            yield (row["method"], str(row["shots"]), metric), row[metric]["mean"]


def few_shot(place: Place) -> Any:
    """Compare the few-shot methods; hyperparameters are chosen on a part of the training usage."""
    data = ("--dataset", "ferplus", "--root", place.rest, "--rule", "majority", "--split", "val")
    options = ("--prompts", "simple", "--shots", ",".join(SHOTS), "--seeds", place.seed)
    out = ("--save-models", "none", "--out", place.folder / "few-shot", "--quiet")
    command = ("few-shot", "--encoder", place.encoder, *data, *options, *out)
    return place.read(
        "few-shot/few_shot.json",
        *command,
        done=lambda found: {str(row["shots"]) for row in found["rows"]} >= set(SHOTS),
    )


def measure_prompts(place: Place) -> Iterable[tuple[tuple[str, ...], float]]:
    """Yield (prompts, target, metric) and the value, for written and learned prompts."""
    few_shot(place)  # draws the images
    learning = _write_shots(place, shots=16)
    sets = ["simple"]
    for name, regularize in LEARNED.items():
        data = ("--dataset", "ferplus", "--root", learning, "--rule", "majority")
        words = ("--prompts", "simple", "--init", "a photo of a", "--regularize", regularize)
        out = ("--seed", place.seed, "--name", name, "--out", place.folder / name, "--quiet")
        command = ("prompts", "learn", "--encoder", place.encoder, *data, *words, *out)
        place.run(f"{name}/learn.json", *command)
        sets.append(str(place.folder / name / f"{name}.yaml"))
    for cell in zero_shot(place, "learned-prompts", sets)["cells"]:
        yield from _cell_values(cell)


def measure_fine_tuning(place: Place) -> Iterable[tuple[tuple[str, ...], float]]:
    """Yield (what is tuned, alpha, target, metric) and the value."""
    words = ("--encoder", place.encoder, "--prompts", "simple")
    saved, faces = place.folder / "zero-shot-model", _write_faces(place)
    place.run("zero-shot-model/config.json", "zero-shot", *words, "--save", saved)
    for name, overrides in TUNED.items():
        model = [f"model.backbone={place.encoder}", f"text.encoder={place.encoder}"]
        model += ["text.prompts=simple", "text.logit_scale=null", "model.weights=null"]
        model += ["model.image_size=48", "model.gray=false"]
        recipe = [f"data.root={faces}", "data.fraction=1", "augment.erase=0", "optim.epochs=3"]
        recipe += ["optim.ema=null", f"seed={place.seed}", f"out={_run(place, name)}", *overrides]
        result = f"{_run(place, name).name}/metrics.json"
        place.run(result, "train", "ferplus_few_labels", *recipe, *model)

    # the curve between both; the choice is on other faces of the training usage
    for name in TUNED:
        out, targets = place.folder / f"blend-{name}", ("--on", place.home, "--on", AWAY)
        choice = ("--alpha", ALPHAS, "--choose-on", f"ferplus={faces},split=val")
        rest = ("--bootstrap", 0, "--out", out)
        command = ("blend", saved, _run(place, name), *targets, *choice, *rest)
        for point in place.read(f"{out.name}/blend.json", *command)["points"]:
            for evaluation in point["evaluations"].values():
                for metric in METRICS:
                    column = (_TARGETS[evaluation["dataset"]], metric)
                    yield (name, f"{point['shares'][-1]:.2f}", *column), evaluation[metric]


def _run(place: Place, name: str) -> Path:
    return place.folder / f"tuned-{name}"


PARTS: dict[str, Callable[[Place], Iterable[tuple[tuple[str, ...], float]]]] = {
    "zero-shot": measure_zero_shot,
    "few-shot": measure_few_shot,
    "prompts": measure_prompts,
    "fine-tuning": measure_fine_tuning,
}


def _cell_values(cell: dict[str, Any]) -> Iterable[tuple[tuple[str, ...], float]]:
    """Values of one model, prompt set and dataset."""
    if cell["error"]:
        sys.exit(f"{cell['prompts']}: {cell['error']}")
    for metric in METRICS:
        yield (cell["prompts"], _TARGETS[cell["dataset"]], metric), cell[metric]


def _write_shots(place: Place, shots: int) -> Path:
    """Write the images of a draw of the few-shot methods, also those to tune on."""
    draws = json.loads((place.folder / "few-shot" / "draws.json").read_text())["draws"]
    draw = next(each for each in draws if each["shots"] == shots and each["seed"] == place.seed)
    folder = place.folder / f"shots-{shots}"
    write_training_part(place.rest, draw["train"], draw["validation"], folder)
    return folder


def _write_faces(place: Place) -> Path:
    """Write faces to fine-tune on, and others to choose on."""
    names = [each.name for each in load_dataset("ferplus", place.rest, "train").samples]
    order = np.random.default_rng(derive_seed(place.seed, "fine-tuning")).permutation(len(names))
    chosen = [names[row] for row in order[: TUNED_ON + CHOSEN_ON]]
    folder = place.folder / "faces"
    write_training_part(place.rest, chosen[:TUNED_ON], chosen[TUNED_ON:], folder)
    return folder


def format_part(values: Values) -> str:
    """Format the values of a part: a row for each first name, a column for the other names.

    The two last names are a place (or a number of shots) and a metric.
    """
    rows = list(dict.fromkeys(names[:-2] for names in values))
    columns = list(dict.fromkeys(names[-2:] for names in values))
    cells = {names: format_mean(found, digits=1) for names, found in values.items()}
    table = [[*row, *(cells.get((*row, *column), "–") for column in columns)] for row in rows]
    heads = [f"{place}: {metric} %" for place, metric in columns]
    return format_table([*[""] * len(rows[0]), *heads], table)


def main() -> None:
    """Measure every part of every seed, and keep the tables up to date."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--root", type=Path, required=True, help="folder of FER+")
    parser.add_argument("--out", type=Path, default=Path("runs/clip_use"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    arguments = parser.parse_args()
    out, root = arguments.out.resolve(), arguments.root.resolve()

    values: dict[str, Values] = {part: {} for part in arguments.only}
    for seed in arguments.seeds:
        place = Place(out / f"seed{seed}", root, seed)
        train_model(place)
        for part in arguments.only:
            for names, value in PARTS[part](place):
                values[part].setdefault(names, []).append(value)
            table = format_part(values[part])
            write_text(out / f"{part}.md", table)
            print(f"{part}, seeds to {seed}\n{table}", flush=True)


if __name__ == "__main__":
    main()
