"""Facts for a model card, from a training run and from evaluations."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ke2nt.errors import CheckpointError

__all__ = ["evaluation_facts", "public_text", "run_facts", "without_measurements"]

_PATH = re.compile(r"(~|/|\\\\|[A-Za-z]:[\\/])")
_METRICS = ("accuracy", "uar", "macro_f1", "ece", "nll")
_CLASS_METRICS = ("name", "support", "recall", "recall_interval")
_RUN, _RESULT, _CONFIG = "run.json", "metrics.json", "config.yaml"


def evaluation_facts(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Select what a card shows of a `metrics.json` of `ke2nt train` or `ke2nt evaluate`.

    Raises:
        CheckpointError: It is not the content of such a file.
    """
    try:
        # a training run also says how it chose the epoch
        selection = metrics.get("selection") or {}
        notes = [*selection.get("notes", ()), *metrics.get("notes", ())]
        if selection and not notes and selection["rule"] != "last epoch":
            notes.append("The epoch was chosen on these images; the metrics are optimistic.")

        return {
            "dataset": metrics["dataset"],
            "split": metrics["split"],
            "options": dict(metrics.get("options") or selection.get("options") or {}),
            "n": metrics["n"],
            "flip_tta": metrics.get("flip_tta", False),
            "calibrated": "uncalibrated" in metrics,
            **{name: metrics[name] for name in _METRICS},
            "intervals": {k: v for k, v in metrics["intervals"].items() if k in _METRICS},
            "per_class": [
                {name: row[name] for name in _CLASS_METRICS} for row in metrics["per_class"]
            ],
            "notes": notes,
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            "these are not the metrics of an evaluation",
            expected="the content of a metrics.json",
            found=f"{type(error).__name__}: {error}",
        ) from error


def run_facts(model_folder: Path) -> dict[str, Any]:
    """Collect what a finished run directory says about its model.

    Args:
        model_folder: The folder `model` of a run directory; {} for any other.

    Returns:
        data (dataset, options, sizes), parameters, config, command, seed and evaluations, plain
        JSON without paths of the machine.

    Raises:
        CheckpointError: A file of the run is damaged.
    """
    run = model_folder.parent
    is_run = all((run / name).is_file() for name in (_RUN, _RESULT, _CONFIG))
    if model_folder.name != "model" or not is_run:
        return {}

    try:
        record = json.loads((run / _RUN).read_text(encoding="utf-8"))
        metrics = json.loads((run / _RESULT).read_text(encoding="utf-8"))
        config = yaml.safe_load((run / _CONFIG).read_text(encoding="utf-8"))
        train_options = config["data"].get("train_options") or {}  # older runs lack this key
        facts = {
            "data": {
                # for packed images this is the dataset that was packed
                "name": metrics["dataset"],
                "options": {**config["data"]["options"], **train_options},
                "samples": dict(record["samples"]),
            },
            "config": _public_config(config),
            "command": _public_command(record["provenance"].get("command")),
            "seed": record["provenance"].get("seed"),
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise CheckpointError("cannot read a file of the run", where=run, found=error) from error
    if record.get("parameters"):
        facts["parameters"] = dict(record["parameters"])
    if record.get("started_from"):
        facts["started_from"] = dict(record["started_from"])
    if record.get("teacher"):
        facts["teacher"] = dict(record["teacher"])
    return {**facts, "evaluations": [evaluation_facts(metrics)]}


def without_measurements(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return a card without metrics and intensity scale, which other weights do not have."""
    measured = ("evaluations", "predict", "intensity_note")
    kept = {key: value for key, value in card.items() if key not in measured}
    predict = {k: v for k, v in (card.get("predict") or {}).items() if k != "intensity"}
    return {**kept, **({"predict": predict} if predict else {})}


def public_text(command: str) -> str:
    """Remove paths of this machine from a command line: DIR stands for a data folder."""
    return " ".join(_public_word(word) for word in shlex.split(command))


def _public_command(command: str | None) -> str | None:
    return None if command is None else public_text(command)


def _public_word(word: str) -> str:
    # a path is a whole word, or the value of key=PATH
    key, equals, value = word.rpartition("=")
    if not _PATH.match(value):
        return shlex.quote(word)

    name = _last_part(value)
    return f"{key}{equals}{'DIR' if key.endswith('root') or '.' not in name else name}"


def _public_config(config: Mapping[str, Any]) -> Any:
    """A run's configuration without its folders and without paths of this machine."""
    public = {name: value for name, value in config.items() if name != "out"}
    public["data"] = {**public["data"], "root": None}
    return _without_paths(public)


def _without_paths(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_paths(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_paths(inner) for inner in value]
    if isinstance(value, str) and _PATH.match(value):
        return _last_part(value)
    return value


def _last_part(path: str) -> str:
    return re.split(r"[\\/]", path.rstrip("\\/"))[-1]
