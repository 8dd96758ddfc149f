"""Facts that a model card states: of the datasets, of a training run, of an evaluation."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ke2nt.errors import CheckpointError

__all__ = ["DATASETS", "DatasetFacts", "evaluation_facts", "public_text", "run_facts"]

_PATH = re.compile(r"(~|/|\\\\|[A-Za-z]:[\\/])")
_FIGURES = ("accuracy", "uar", "macro_f1", "ece", "nll")


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """What a card says of a dataset.

    Attributes:
        title: Its usual name.
        content: What its images are and who labeled them.
        license: Terms of its images and labels.
        free: Whether those terms allow any use.
    """

    title: str
    content: str
    license: str
    free: bool = False


_AFFECTNET = DatasetFacts(
    "AffectNet",
    "faces from web searches for emotion words, each labeled by one annotator",
    "non-commercial research, by agreement with its authors",
)
DATASETS: Mapping[str, DatasetFacts] = {
    "ferplus": DatasetFacts(
        "FER+",
        "the images of FER2013 (48 px, gray, from web searches) with ten crowd votes each",
        "labels: MIT (Microsoft); images: FER2013's, for research",
    ),
    "fer2013": DatasetFacts(
        "FER2013",
        "faces from web searches for emotion words, 48 px, gray, with noisy labels",
        "for research, from a Kaggle challenge of 2013",
    ),
    "rafdb": DatasetFacts(
        "RAF-DB",
        "faces from the web, each labeled by about 40 annotators",
        "non-commercial research, by agreement with its authors",
    ),
    "affectnet7": _AFFECTNET,
    "affectnet8": _AFFECTNET,
    "ckplus": DatasetFacts(
        "CK+",
        "posed expressions of adults in a laboratory, frontal, coded by action units",
        "non-commercial research, by agreement with its authors",
    ),
    "drawn": DatasetFacts(
        "ke2nt's drawn faces", "faces drawn by a program; no person is in them", "MIT", free=True
    ),
}


def evaluation_facts(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """What a card keeps of a `metrics.json` of `ke2nt train` or `ke2nt evaluate`.

    Raises:
        CheckpointError: It is no such file's content.
    """
    try:
        selection = metrics.get("selection") or {}
        notes = [*selection.get("notes", ()), *metrics.get("notes", ())]
        if selection and not notes and selection["rule"] != "last epoch":
            notes.append("The epoch was chosen on these images; the figures are optimistic.")
        return {
            "dataset": metrics["dataset"],
            "split": metrics["split"],
            "options": dict(metrics.get("options") or selection.get("options") or {}),
            "n": metrics["n"],
            "flip_tta": metrics.get("flip_tta", False),
            "calibrated": "uncalibrated" in metrics,
            **{name: metrics[name] for name in _FIGURES},
            "intervals": {k: v for k, v in metrics["intervals"].items() if k in _FIGURES},
            "per_class": [
                {name: row[name] for name in ("name", "support", "recall", "recall_interval")}
                for row in metrics["per_class"]
            ],
            "notes": notes,
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            "these are not the figures of an evaluation",
            expected="the content of a metrics.json",
            found=f"{type(error).__name__}: {error}",
        ) from error


def run_facts(model_folder: Path) -> dict[str, Any]:
    """What a finished run directory says for the card of its model.

    Args:
        model_folder: The folder `model` of a run directory; {} for any other.

    Returns:
        data (dataset, options, sizes), config, command, seed and evaluations, plain JSON without
        paths of the machine.

    Raises:
        CheckpointError: A file of the run is damaged.
    """
    names = ("run.json", "metrics.json", "config.yaml")
    run = model_folder.parent
    if model_folder.name != "model" or not all((run / name).is_file() for name in names):
        return {}
    try:
        facts, metrics = (json.loads((run / n).read_text(encoding="utf-8")) for n in names[:2])
        config = yaml.safe_load((run / names[2]).read_text(encoding="utf-8"))
        own = config["data"].get("train_options") or {}  # younger than some runs
        data = {
            "name": metrics["dataset"],  # of packed images the dataset that was packed
            "options": {**config["data"]["options"], **own},
            "samples": dict(facts["samples"]),
        }
        made = facts["provenance"]
        command, seed = made.get("command"), made.get("seed")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise CheckpointError("cannot read a file of the run", where=run, found=error) from error
    config["data"]["root"] = None
    config.pop("out", None)
    return {
        "data": data,
        "config": _public(config),
        "command": None if command is None else public_text(command),
        "seed": seed,
        "evaluations": [evaluation_facts(metrics)],
    }


def public_text(command: str) -> str:
    """A command line without paths of the machine it was typed on: DIR for folders of data."""
    return " ".join(_public_word(word) for word in shlex.split(command))


def _public_word(word: str) -> str:
    key, equals, value = word.rpartition("=")
    if not _PATH.match(value):
        return shlex.quote(word)
    name = _last_part(value)
    return f"{key}{equals}{'DIR' if key.endswith('root') or '.' not in name else name}"


def _public(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _public(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_public(inner) for inner in value]
    if isinstance(value, str) and _PATH.match(value):
        return _last_part(value)
    return value


def _last_part(path: str) -> str:
    return re.split(r"[\\/]", path.rstrip("\\/"))[-1]
