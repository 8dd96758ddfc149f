"""What each way of adapting to unlabeled faces gains, on five pairs of domains.

    python benchmarks/adaptation.py --root FERPLUS --seeds 1 2

Every row starts from the same source model of its pair and seed, sees the same target images
without labels, and is scored on other images of the target's domain, whose labels nothing else
reads. Two pairs start from the recognizer that comes with the package, which knows FER+'s training
usage: their target images and those that they are scored on are halves of the validation usage.
The others train a small source model first. A row that is done is kept, one that was cut short is
resumed. The table is written to `OUT/table.md` and `OUT/table.json` after every row; it holds the
rows that the call names.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

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
JUDGED = 120  # images of a class at most, so that the rare ones weigh more
KEPT = ("neutral", "happiness", "surprise", "sadness")  # of the class subset


@dataclass(frozen=True)
class Pool:
    """Splits made in memory, as `pack_dataset` reads them."""

    parts: Mapping[str, FaceSplit]

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(self.parts)

    def load(self, name: str) -> FaceSplit:
        return self.parts[name]


def spread(split: FaceSplit, count: int, keep: Callable[[str], bool] | None = None) -> FaceSplit:
    """At most `count` samples at even distances, of some classes."""
    rows = [i for i, s in enumerate(split.samples) if keep is None or keep(split.classes[s.label])]
    return split.subset(rows[i * len(rows) // count] for i in range(min(count, len(rows))))


def even(split: FaceSplit, most: int, seed: int = 0) -> FaceSplit:
    """At most so many samples of every class."""
    order, labels = np.random.default_rng(seed).permutation(len(split)), split.labels()
    rows = [i for k in range(len(split.classes)) for i in order[labels[order] == k][:most]]
    return split.subset(sorted(int(i) for i in rows))


def pools(root: str) -> dict[str, Callable[[], Pool]]:
    """Name → how its images are found; the halves of a dataset share no image."""

    def drawn(count: int, seed: int, *styles: str) -> Pool:
        faces = get_reader("drawn", count=count, seed=seed, size=SIZE, style=styles)
        return Pool({name: faces.load(name) for name in faces.splits})

    def real(name: str, **options: Any) -> FaceSplit:
        kind = "corruptions" if options else "ferplus"
        more = {"of": "ferplus", **options} if options else {}
        return get_reader(kind, root, rule="majority", **more).load(name)

    def half(split: FaceSplit, which: int) -> FaceSplit:
        return split.subset(range(which, len(split), 2))

    def labeled() -> Pool:
        return Pool({"train": spread(real("train"), SOURCE), "val": spread(real("val"), 500)})

    def balanced() -> Pool:
        few = even(half(real("train"), 0), SOURCE // 8)
        return Pool({"train": few, "val": spread(real("val"), 500)})

    def natural() -> Pool:
        target = spread(half(real("train"), 1), TARGET)
        return Pool({"train": target, "test": even(real("val"), JUDGED)})

    def noisy() -> Pool:
        whole = real("val", kind="gaussian_noise", severity=3)
        return Pool({"train": half(whole, 0), "test": even(half(whole, 1), JUDGED)})

    def subset() -> Pool:
        whole = real("val")
        chosen = spread(whole, len(whole), KEPT.__contains__)
        return Pool({"train": half(chosen, 0), "test": even(half(chosen, 1), JUDGED)})

    return {
        "synthetic": lambda: drawn(2200, 7, "photo", "gray48", "night"),
        "sketch": lambda: drawn(2200, 8, "sketch"),
        "ferplus": labeled,
        "ferplus-even": balanced,
        "ferplus-target": natural,
        "ferplus-noise": noisy,
        "ferplus-subset": subset,
    }


class Pair(NamedTuple):
    """Two domains.

    Attributes:
        source: Pool of labeled images.
        target: Pool of images without labels.
        source_words: Prompts that name the source's domain.
        target_words: Prompts that name the target's domain.
        start: The model before; one is trained on the source where it is None.
    """

    source: str
    target: str
    source_words: str
    target_words: str
    start: str | None = None


PAIRS = {
    "synthetic → FER+": Pair("synthetic", "ferplus-target", "drawing", "grey_photo"),
    "photo styles → sketch": Pair("synthetic", "sketch", "paper", "drawing"),
    "FER+ → noisy FER+": Pair("ferplus", "ferplus-noise", "grey_photo", "grey_photo", SHIPPED),
    "FER+ → four classes": Pair("ferplus", "ferplus-subset", "grey_photo", "grey_photo", SHIPPED),
    "even FER+ → FER+": Pair("ferplus-even", "ferplus-target", "grey_photo", "grey_photo"),
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
METHODS = {
    "source only": ["adapt.method=source"],
    "batch statistics": ["adapt.method=statistics"],
    "entropy": ["adapt.method=entropy"],
    "DANN": ["adapt.method=dann"],
    "CDAN": ["adapt.method=cdan"],
    "CORAL": ["adapt.method=coral"],
    "MMD": ["adapt.method=mmd"],
    "pseudo-labels": ["adapt.method=pseudo"],
    "DMSRL": ["adapt.method=dmsrl"],
    "DMSRL + text": TEXT,
}
# Each part of the last row off (or, with the prompts, on) by itself.
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
REGIONS = "model.backbone_options.regions=true"


def settings(args: argparse.Namespace, pair: str, seed: int, changes: Sequence[str]) -> AdaptConfig:
    """The configuration of one row; OUT is left to the caller."""
    chosen = PAIRS[pair]
    words = [f"adapt.source_prompts={chosen.source_words}", f"text.prompts={chosen.target_words}"]
    named = {"PROMPTS": words, "REGIONS": [REGIONS]}
    data = args.out / "data"
    return load_config(
        args.config,
        [
            f"seed={seed}",
            "data={name: packed, val_split: val, memory: ram, workers: 0}",
            f"data.root={data / chosen.source}",
            "target={name: packed, split: train, report_split: test, workers: 0}",
            *(["optim.lr=0.0001"] if chosen.start else []),  # more harms what is good already
            f"target.root={data / chosen.target}",
            *args.overrides,
            *(word for change in changes for word in named.get(change, [change])),
        ],
        AdaptConfig,
    )


def source_model(args: argparse.Namespace, pair: str, seed: int, changes: Sequence[str]) -> str:
    """Run directory of the model before, trained unless it is there."""
    kind = PAIRS[pair].source + ("-regions" if "REGIONS" in changes else "")
    run = RunDirectory(args.out / "source" / f"{kind}-seed{seed}")
    if not run.finished:
        first = settings(args, pair, seed, [c for c in changes if c == "REGIONS"])
        begin = first.source_run().model_copy(update={"out": str(run.path)})
        train(begin, resume=run.exists, quiet=args.quiet)
    return str(run.path)


def run_row(
    args: argparse.Namespace, pair: str, name: str, changes: list[str], seed: int
) -> dict[str, Any]:
    """Figures of one row, computed unless they are there."""
    folder = args.out / pair.replace(" ", "") / f"seed{seed}" / name.replace(" ", "_")
    run = RunDirectory(folder)
    if not run.finished:
        config = settings(args, pair, seed, changes)
        start = PAIRS[pair].start or source_model(args, pair, seed, changes)
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
    """Mean ± standard deviation over seeds, in percent; the gain is over the pair's source only."""
    write_json(out / "table.json", list(rows))
    base = {(r["pair"], r["seed"]): r["uar"] for r in rows if r["method"] == "source only"}
    columns = ["pair", "method", "seeds", "start UAR", "UAR", "gain", "accuracy", "distance"]
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["pair"], row["method"]), []).append(row)
    for (pair, method), found in groups.items():
        gains = [r["uar"] - base[pair, r["seed"]] for r in found if (pair, r["seed"]) in base]
        distances = [r["distance"] for r in found if r["distance"] is not None]
        cells = [pair, method, ", ".join(str(r["seed"]) for r in found)]
        cells += [_mean([r[key] for r in found]) for key in ("uar_before", "uar")]
        cells += [_mean(gains), _mean([r["accuracy"] for r in found])]
        cells.append(f"{statistics.mean(distances):.2f}" if distances else "–")
        lines.append("| " + " | ".join(cells) + " |")
    write_text(out / "table.md", "\n".join(lines) + "\n")


def _mean(values: Sequence[float]) -> str:
    if not values:
        return "–"
    spread_ = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * statistics.mean(values):.1f}{spread_}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", required=True, help="folder of FER+")
    parser.add_argument("--out", type=Path, default=Path("runs/adaptation"))
    parser.add_argument("--config", default="dmsrl_drawn_to_ferplus")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
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
    found = pools(args.root)
    for name in dict.fromkeys(pool for pair in args.pairs for pool in PAIRS[pair][:2]):
        if not (args.out / "data" / name).exists():
            pack_dataset(found[name](), args.out / "data" / name, SIZE, quiet=args.quiet)
    first = next(iter(PAIRS))
    rows = []
    for pair in args.pairs:
        for name in args.methods or [*METHODS, *(ABLATION if pair == first else ())]:
            for seed in args.seeds:
                changes = {**METHODS, **ABLATION}[name]
                rows.append(run_row(args, pair, name, changes, seed))
                print(json.dumps(rows[-1], ensure_ascii=False), flush=True)
                write_table(rows, args.out)


if __name__ == "__main__":
    main()
