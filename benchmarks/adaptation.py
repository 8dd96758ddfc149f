"""What each way of adapting to unlabeled faces gains, on pairs of domains.

    python benchmarks/adaptation.py --root FERPLUS
    python benchmarks/adaptation.py --root FERPLUS --methods "source only" "class shares, EM"

Every row but "DMSRL as published" and its baseline starts from the same source model of its pair
and seed, adapts to the same unlabeled target images, and is scored on other images of the target
domain, whose labels are used for nothing else. Two pairs start from the recognizer that comes with
the package, which was trained on FER+'s training usage: their target images and those they are
scored on are halves of the validation usage.
The others train a small source model first. A finished row is kept, an interrupted one is resumed.
The table is written to `OUT/table.md` and `OUT/table.json` after every row; it holds the rows of
the call.

"DMSRL as published" is one training from the encoder's initial weights, with the published head,
branches, optimizer and length; "source only, trained as long" is the same training without the
target. "DMSRL losses" has the published losses and the training of the other rows.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from markdown_tables import format_mean, format_table

from ke2nt.adapt.adapt_model import adapt
from ke2nt.config.adapt import AdaptConfig
from ke2nt.config.load import load_config
from ke2nt.data.sample import FaceSplit
from ke2nt.datasets.catalog import get_reader
from ke2nt.datasets.pack import pack_dataset
from ke2nt.runtime.atomic import write_json, write_text
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.train_recognizer import train

SIZE = 48
SOURCE, TARGET = 1500, 1500  # images
SHIPPED = "ke2nt/ferplus-resnet18"
JUDGED = 120  # most images of a class that are scored, so that rare classes weigh more
KEPT = ("neutral", "happiness", "surprise", "sadness")  # of the class subset


@dataclass(frozen=True)
class Pool:
    """Splits in memory, with what `pack_dataset` needs of a reader."""

    parts: Mapping[str, FaceSplit]

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(self.parts)

    def load(self, name: str) -> FaceSplit:
        return self.parts[name]


def take_classes(split: FaceSplit, names: Collection[str]) -> FaceSplit:
    """Take the samples of some classes."""
    return split.subset(
        i for i, sample in enumerate(split.samples) if split.classes[sample.label] in names
    )


def take_even(split: FaceSplit, most: int, seed: int = 0) -> FaceSplit:
    """Take at most so many random samples of every class."""
    order, labels = np.random.default_rng(seed).permutation(len(split)), split.labels()
    chosen = [order[labels[order] == k][:most] for k in range(len(split.classes))]
    return split.subset(sorted(int(i) for i in np.concatenate(chosen)))


def take_half(split: FaceSplit, which: int) -> FaceSplit:
    """Take every second sample, starting at 0 or 1; the two halves share no image."""
    return split.subset(range(which, len(split), 2))


def draw(count: int, seed: int, *styles: str) -> Pool:
    """Draw faces in some styles."""
    faces = get_reader("drawn", count=count, seed=seed, size=SIZE, style=styles)
    return Pool({name: faces.load(name) for name in faces.splits})


@dataclass(frozen=True)
class FerplusPools:
    """Pools of FER+ images.

    Attributes:
        root: Folder of FER+.
    """

    root: str

    def labeled(self) -> Pool:
        train, val = self._load("train"), self._load("val")
        return Pool({"train": train.spread(SOURCE), "val": val.spread(500)})

    def balanced(self) -> Pool:
        train = take_even(take_half(self._load("train"), 0), SOURCE // 8)
        return Pool({"train": train, "val": self._load("val").spread(500)})

    def natural(self) -> Pool:
        target = take_half(self._load("train"), 1).spread(TARGET)
        return Pool({"train": target, "test": take_even(self._load("val"), JUDGED)})

    def held_out(self) -> Pool:
        """The same target images; those to score on are other faces of the training usage."""
        test = take_even(take_half(self._load("train"), 0), JUDGED)
        return Pool({"train": self.natural().parts["train"], "test": test})

    def noisy(self) -> Pool:
        reader = get_reader(
            "corruptions",
            self.root,
            of="ferplus",
            rule="majority",
            kind="gaussian_noise",
            severity=3,
        )
        return self._split_target(reader.load("val"))

    def four_classes(self) -> Pool:
        return self._split_target(take_classes(self._load("val"), KEPT))

    def _load(self, split: str) -> FaceSplit:
        return get_reader("ferplus", self.root, rule="majority").load(split)

    def _split_target(self, split: FaceSplit) -> Pool:
        """One half without labels, the other to score on."""
        return Pool({"train": take_half(split, 0), "test": take_even(take_half(split, 1), JUDGED)})


def list_pools(root: str) -> dict[str, Callable[[], Pool]]:
    """Name → how its images are loaded."""
    ferplus = FerplusPools(root)
    return {
        "synthetic": lambda: draw(2200, 7, "photo", "gray48", "night"),
        "sketch": lambda: draw(2200, 8, "sketch"),
        "ferplus": ferplus.labeled,
        "ferplus-even": ferplus.balanced,
        "ferplus-target": ferplus.natural,
        "ferplus-held-out": ferplus.held_out,
        "ferplus-noise": ferplus.noisy,
        "ferplus-subset": ferplus.four_classes,
    }


class Pair(NamedTuple):
    """Two domains.

    Attributes:
        source: Pool of labeled images.
        target: Pool of images without labels.
        source_words: Prompts that name the source's domain.
        target_words: Prompts that name the target's domain.
        start: The model to start from; None to train one on the source.
        changes: Overrides of every row.
    """

    source: str
    target: str
    source_words: str
    target_words: str
    start: str | None = None
    changes: tuple[str, ...] = ()


FACES = (
    "model={backbone: dlib_resnet, weights: faces, image_size: 103, gray: true}",
    "source_optim.layer_decay=0.9",
)
PAIRS = {
    "synthetic → FER+": Pair("synthetic", "ferplus-target", "drawing", "grey_photo"),
    "photo styles → sketch": Pair("synthetic", "sketch", "paper", "drawing"),
    "FER+ → noisy FER+": Pair("ferplus", "ferplus-noise", "grey_photo", "grey_photo", SHIPPED),
    "FER+ → four classes": Pair("ferplus", "ferplus-subset", "grey_photo", "grey_photo", SHIPPED),
    "even FER+ → FER+": Pair("ferplus-even", "ferplus-target", "grey_photo", "grey_photo"),
    # a source model from face weights; "settings" scores on target training faces that are held
    # out, so that settings can be chosen there
    "synthetic → FER+, face weights": Pair(
        "synthetic", "ferplus-target", "drawing", "grey_photo", changes=FACES
    ),
    "settings": Pair("synthetic", "ferplus-held-out", "drawing", "grey_photo", changes=FACES),
}
TEXT = [
    "adapt.method=dmsrl",
    "adapt.batch_norm=target",
    "adapt.centers=text",
    "adapt.weights={text: 0.5, metric: 0.001}",
    "adapt.teacher=average",
    "adapt.balance=0.5",
    "adapt.threshold=0.4",
]
GATED = ["adapt.gate=0.5", "adapt.shares=checked"]
METHODS = {
    "source only": ["adapt.method=source"],
    "batch statistics": ["adapt.method=statistics"],
    "entropy": ["adapt.method=entropy"],
    "DANN": ["adapt.method=dann"],
    "CDAN": ["adapt.method=cdan"],
    "CORAL": ["adapt.method=coral"],
    "MMD": ["adapt.method=mmd"],
    "pseudo-labels": ["adapt.method=pseudo"],
    "DMSRL losses": ["adapt.method=dmsrl", "adapt.batch_norm=separate"],
    "DMSRL + text": TEXT,
    "class shares, EM": ["adapt.method=shares", "adapt.shares=em"],
    "class shares, BBSE": ["adapt.method=shares", "adapt.shares=bbse"],
    "class shares for UAR, EM": [
        *("adapt.method=shares", "adapt.shares=em", "adapt.share_power=0.5"),
    ],
    "pseudo-labels, class shares": ["adapt.method=pseudo", "adapt.shares=em"],
    "DMSRL + text, class shares": [*TEXT, "adapt.shares=em"],
    "pseudo-labels, gated": ["adapt.method=pseudo", *GATED],
    "source only, trained as long": ["PUBLISHED", "adapt.method=source"],
    "DMSRL as published": ["PUBLISHED", "adapt.method=dmsrl"],
}
# the last method with one part changed
ABLATION = {
    "without metric": [*TEXT, "adapt.weights.metric=0"],
    "metric at the published weight": [*TEXT, "adapt.weights.metric=0.01"],
    "without adversary": [*TEXT, "adapt.weights.adversarial=0"],
    "without text objective": [*TEXT, "adapt.weights.text=0"],
    "centers learned from random": [*TEXT, "adapt.centers=learned"],
    "centers tied to the text": [*TEXT, "adapt.centers=tied"],
    "joint normalization": [*TEXT, "adapt.batch_norm=joint"],
    "labels by the model itself": [*TEXT, "adapt.teacher=model"],
    "labels not evened out": [*TEXT, "adapt.balance=0"],
    "all labels taken": [*TEXT, "adapt.threshold=0"],
    "prompts name the domain": [*TEXT, "PROMPTS"],
    "regions": [*TEXT, "REGIONS"],
}
REGIONS = "model.backbone_options.regions=mean"
# settings of configs/dmsrl_published.yaml that this benchmark's configuration has differently
PUBLISHED = [
    "adapt.train_source=false",
    "adapt.batch_norm=separate",
    "model.head=linear",
    "model.backbone_options.regions=learned",
    "optim={name: sgd, lr: 0.01, nesterov: true, weight_decay: 0.0005, batch_size: 64, "
    "epochs: 60, warmup_epochs: 0, schedule: steps, step_epochs: 30}",
    "select.every=60",
]


def build_config(
    args: argparse.Namespace, pair: str, seed: int, changes: Sequence[str]
) -> AdaptConfig:
    """Build the configuration of one row; `out` is left to the caller."""
    domains = PAIRS[pair]
    prompts = [
        f"adapt.source_prompts={domains.source_words}",
        f"text.prompts={domains.target_words}",
    ]

    # words in capitals stand for several overrides, some of which depend on the pair
    placeholders = {"PROMPTS": prompts, "REGIONS": [REGIONS], "PUBLISHED": PUBLISHED}
    overrides = [word for change in changes for word in placeholders.get(change, [change])]

    # a larger learning rate harms a good model
    learning_rate = ["optim.lr=0.0001"] if domains.start else []
    data = args.out / "data"
    shared = [
        f"seed={seed}",
        "data={name: packed, val_split: val, memory: ram, workers: 0}",
        f"data.root={data / domains.source}",
        "target={name: packed, split: train, report_split: test, workers: 0}",
        *learning_rate,
        *domains.changes,
        f"target.root={data / domains.target}",
    ]
    return load_config(args.config, [*shared, *overrides, *args.overrides], AdaptConfig)


def train_source(args: argparse.Namespace, pair: str, seed: int, changes: Sequence[str]) -> str:
    """Train the model to start from unless it is trained, and return its run directory."""
    suffix = "-faces" if PAIRS[pair].changes else ""
    suffix += "-regions" if "REGIONS" in changes else ""
    run = RunDirectory(args.out / "source" / f"{PAIRS[pair].source}{suffix}-seed{seed}")
    if not run.finished:
        config = build_config(args, pair, seed, [c for c in changes if c == "REGIONS"])
        source_config = config.source_run().model_copy(update={"out": str(run.path)})
        train(source_config, resume=run.exists, quiet=args.quiet)
    return str(run.path)


def run_row(
    args: argparse.Namespace, pair: str, name: str, changes: list[str], seed: int
) -> dict[str, Any]:
    """Adapt a model unless that has been done, and read its metrics."""
    folder = args.out / pair.replace(" ", "") / f"seed{seed}" / name.replace(" ", "_")
    run = RunDirectory(folder)
    if not run.finished:
        config = build_config(args, pair, seed, changes)
        # the published training begins with initial weights
        start = None
        if "PUBLISHED" not in changes:
            start = PAIRS[pair].start or train_source(args, pair, seed, changes)
        update = {"out": str(folder), "start": start}
        adapt(config.model_copy(update=update), resume=run.exists, quiet=args.quiet)

    facts = run.read("adaptation.json")
    before, after = facts["figures"]["before"], facts["figures"]["after"]
    return {
        "pair": pair,
        "method": name,
        "seed": seed,
        "seconds": run.read("run.json")["seconds"],
        "n": after["n"],
        "uar_before": before["uar"],
        "uar": after["uar"],
        "accuracy": after["accuracy"],
        "distance": facts["after"]["domain_distance"],
        "largest_share": max(facts["after"]["shares"]),
        "trust": facts["trust"]["level"],
    }


def write_table(rows: Sequence[dict[str, Any]], out: Path) -> None:
    """Write mean ± standard deviation over seeds; the gain is relative to source only."""
    baselines = {(r["pair"], r["seed"]): r["uar"] for r in rows if r["method"] == "source only"}
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["pair"], row["method"]), []).append(row)

    table = []
    for (pair, method), runs in groups.items():
        gains = [
            run["uar"] - baselines[pair, run["seed"]]
            for run in runs
            if (pair, run["seed"]) in baselines
        ]
        distances = [run["distance"] for run in runs if run["distance"] is not None]
        cells = [
            pair,
            method,
            ", ".join(str(run["seed"]) for run in runs),
            format_mean([run["uar_before"] for run in runs], digits=1),
            format_mean([run["uar"] for run in runs], digits=1),
            format_mean(gains, digits=1) if gains else "–",
            format_mean([run["accuracy"] for run in runs], digits=1),
            f"{statistics.mean(distances):.2f}" if distances else "–",
        ]
        table.append(cells)

    columns = ["pair", "method", "seeds", "start UAR", "UAR", "gain", "accuracy", "distance"]
    write_json(out / "table.json", list(rows))
    write_text(out / "table.md", format_table(columns, table))


def pack_pools(args: argparse.Namespace) -> None:
    """Pack the images of all pairs, unless that has been done."""
    pools = list_pools(args.root)
    names = [name for pair in args.pairs for name in (PAIRS[pair].source, PAIRS[pair].target)]
    for name in dict.fromkeys(names):
        folder = args.out / "data" / name
        if not folder.exists():
            pack_dataset(pools[name](), folder, SIZE, quiet=args.quiet)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", required=True, help="folder of FER+")
    parser.add_argument("--out", type=Path, default=Path("runs/adaptation"))
    parser.add_argument("--config", default="dmsrl_drawn_to_ferplus")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--pairs", nargs="+", default=list(PAIRS), choices=list(PAIRS))
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=[*METHODS, *ABLATION],
        help="rows; by default all for the first pair and the methods for the others",
    )
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("overrides", nargs="*", help="key=value for every row")
    args = parser.parse_args()
    pack_pools(args)

    changes = {**METHODS, **ABLATION}
    first_pair = next(iter(PAIRS))
    rows = []
    for pair in args.pairs:
        names = args.methods or (changes if pair == first_pair else METHODS)
        for name, seed in product(names, args.seeds):
            rows.append(run_row(args, pair, name, changes[name], seed))
            print(json.dumps(rows[-1], ensure_ascii=False), flush=True)
            write_table(rows, args.out)


if __name__ == "__main__":
    main()
