"""The recipe on a model card: versions, configuration, and the commands that reproduce it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import yaml

from ke2nt._version import __version__
from ke2nt.checkpoints.card_sections import is_drawn
from ke2nt.config.renamed_keys import use_new_names
from ke2nt.runtime.renamed import RenamedWarning

__all__ = ["recipe_section"]

_THRESHOLD_OPTIONS = {
    "risk": "--max-risk",
    "coverage": "--coverage",
    "confidence": "--min-confidence",
}


def recipe_section(config: Mapping[str, Any], card: Mapping[str, Any]) -> str:
    """How the model was made, and the commands that reproduce it."""
    # facts that old models lack are left out
    lines = ["## Recipe\n"]
    for name, value in _origin(config, card).items():
        if value is not None:
            lines.append(f"- **{name}**: {value}")

    if card.get("command"):
        lines.append(f"\nMade with `{card['command']}`.")

    # without the configuration there is nothing to run again
    if card.get("config"):
        settings = yaml.safe_dump(_current(card["config"]), sort_keys=False, allow_unicode=True)
        commands = _train_command(card) + _calibrate_command(config.get("calibration"), card)
        lines += [
            "\nTo reproduce it, save this as config.yaml:\n",
            f"```yaml\n{settings}```\n",
            f"```bash\n{commands}```",
        ]
    return "\n".join(lines) + "\n"


def _origin(config: Mapping[str, Any], card: Mapping[str, Any]) -> dict[str, Any]:
    """Facts about how the model came to be; None for those that are not known."""
    provenance = config.get("provenance") or {}
    versions, machine = provenance.get("versions") or {}, provenance.get("machine") or {}
    return {
        "seed": card.get("seed", provenance.get("seed")),
        "selected epoch": provenance.get("epoch"),
        "initial weights": _initial_weights(provenance.get("initial_weights") or {}),
        "trained parameters": _trained_parameters(card.get("parameters")),
        "ke2nt": versions.get("ke2nt", __version__),
        "revision": provenance.get("revision"),
        "torch": versions.get("torch"),
        "machine": machine.get("accelerator") or machine.get("processor"),
    }


def _initial_weights(facts: Mapping[str, Any]) -> str | None:
    """The file, and how many of its tensors were loaded; None for random weights."""
    source, summary = facts.get("source"), facts.get("summary")
    return f"{source} ({summary})" if source and summary else source


def _trained_parameters(facts: Mapping[str, Any] | None) -> str | None:
    """How many parameters trained, where that is only a part."""
    if not facts or facts["trained"] == facts["total"]:
        return None
    share = 100 * facts["trained"] / facts["total"]
    return f"{facts['trained']:,} of {facts['total']:,} ({share:.2g} %), model.tune={facts['tune']}"


def _current(config: Mapping[str, Any]) -> dict[str, Any]:
    """A run's configuration under the names of this version, which can train with it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RenamedWarning)
        return use_new_names(config)


def _train_command(card: Mapping[str, Any]) -> str:
    # drawn faces have no folder
    root = "" if is_drawn(card) else " data.root=DIR"
    return f"ke2nt train config.yaml{root} --out runs/again\n"


def _calibrate_command(calibration: Mapping[str, Any] | None, card: Mapping[str, Any]) -> str:
    """The command that calibrated the model; "" if it is not known."""
    fitted_on = (calibration or {}).get("fitted_on") or {}
    if not calibration or not fitted_on.get("dataset"):
        return ""

    # the data that it was fitted on
    words = ["ke2nt calibrate runs/again --dataset", fitted_on["dataset"]]
    if not is_drawn(card):
        words += ["--root DIR"]
    words += ["--split", fitted_on["split"]]
    for name, value in (fitted_on.get("options") or {}).items():
        words.append(f"--option {name}={value}")
    words += ["--method", calibration["method"]]

    # how its labels were read, and what else it was fitted to
    if "labels" in fitted_on:
        words += ["--labels", fitted_on["labels"]]
    for source, target in (fitted_on.get("merge") or {}).items():
        words.append(f"--merge {source}={target}")
    if not fitted_on.get("degraded"):
        words.append("--clean-only")

    # the threshold, as it was asked for
    threshold = calibration.get("threshold") or {}
    if threshold:
        words += [_THRESHOLD_OPTIONS[threshold["target"]], str(threshold["value"])]
    return " ".join(words) + "\n"
