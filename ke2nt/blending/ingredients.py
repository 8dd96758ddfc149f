"""The models of a blend: read, and checked that their weights mean the same."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ke2nt.checkpoints.find_model import public_model_name
from ke2nt.checkpoints.model_folder import WEIGHTS, find_model_folder, read_folder
from ke2nt.checkpoints.saved_model import SavedModel
from ke2nt.errors import ConfigError, ModelError
from ke2nt.models.base import ExpressionModel
from ke2nt.models.build import head_class
from ke2nt.runtime.digest import digest_file
from ke2nt.runtime.formatting import first_few

__all__ = ["Ingredients", "read_ingredients"]

_SCALE, _BIAS = "log_logit_scale", "logit_bias"
_SCALE_OPTIONS = ("logit_scale", "learn_logit_scale")
# options that decide how a model trains, not what its weights mean
_FREE = frozenset({"dropout", "drop_path", "learned_logit_bias", *_SCALE_OPTIONS})
_SAME_TEXT = 1e-4


@dataclass(frozen=True)
class Ingredients:
    """Saved models with the same tensors.

    Attributes:
        names: The models, as they were requested.
        facts: Public name and digest of each.
        cards: Their cards' facts.
        states: Their tensors.
        model: A model of their architecture, whose tensors may be replaced.
    """

    names: tuple[str, ...]
    facts: tuple[dict[str, str], ...]
    cards: tuple[Mapping[str, Any], ...]
    states: tuple[Mapping[str, Tensor], ...]
    model: ExpressionModel


def read_ingredients(names: Sequence[str | Path]) -> Ingredients:
    """Read at least two saved models and check that they can be averaged.

    Raises:
        ConfigError: There are fewer than two models.
        CheckpointError: There is no such model, or a file of it is missing or altered.
        ModelError: Classes, text bank, architecture, preprocessing or tensors differ.
    """
    if len(names) < 2:
        raise ConfigError("a blend needs models", expected="at least 2", found=len(names))
    saved = [read_folder(find_model_folder(name)) for name in names]
    texts = [str(name) for name in names]
    for name, other in zip(texts[1:], saved[1:], strict=True):
        _check_same(texts[0], saved[0], name, other)

    # the bias of the pairwise sigmoid changes no prediction
    states = [{k: v for k, v in each.state.items() if k != _BIAS} for each in saved]

    # a learned scale and a fixed one meet in the logarithm
    reference = saved[-1]
    if any(_SCALE in state for state in states):
        for state, each in zip(states, saved, strict=True):
            state.setdefault(_SCALE, torch.tensor(math.log(_fixed_scale(each))))
        reference = next(each for each in reversed(saved) if _SCALE in each.state)
    _check_tensors(texts, states)

    # both were fitted to the outputs of one of the models
    cls = head_class(reference.architecture.get("head"))
    model = cls.from_saved(_without_bias(reference), where=texts[saved.index(reference)])
    model.calibration = model.familiarity = None
    return Ingredients(
        tuple(texts),
        tuple(_facts(name, each) for name, each in zip(texts, saved, strict=True)),
        tuple(each.card for each in saved),
        tuple(states),
        model,
    )


def _without_bias(saved: SavedModel) -> SavedModel:
    """The model without a learned bias of the pairwise sigmoid, which only training needs."""
    architecture = {k: v for k, v in saved.architecture.items() if k != "learned_logit_bias"}
    state = {name: value for name, value in saved.state.items() if name != _BIAS}
    return replace(saved, architecture=architecture, state=state)


def _check_same(first: str, a: SavedModel, second: str, b: SavedModel) -> None:
    """Compare all that decides what the tensors mean."""
    if a.classes != b.classes:
        raise ModelError(
            "the models to blend have different classes",
            expected=f"{', '.join(a.classes)}, those of {first}",
            found=f"{', '.join(b.classes)} in {second}",
        )

    # the architecture decides the shapes, and what they compute
    keys = sorted((a.architecture.keys() | b.architecture.keys()) - _FREE)
    for key in keys:
        ours, theirs = a.architecture.get(key), b.architecture.get(key)
        if ours != theirs:
            raise ModelError(
                f"the models to blend differ in {key}",
                expected=f"{ours}, that of {first}",
                found=f"{theirs} in {second}",
            )
    if a.preprocessing != b.preprocessing:
        raise ModelError(
            "the models to blend differ in preprocessing",
            expected=f"{a.preprocessing.to_dict()}, that of {first}",
            found=f"{b.preprocessing.to_dict()} in {second}",
        )
    _check_text(first, a, second, b)


def _check_text(first: str, a: SavedModel, second: str, b: SavedModel) -> None:
    """Compare the text banks and fixed logit scales."""
    if a.bank is None or b.bank is None:
        return

    # the same prompts of the same encoder differ by rounding at most
    same = a.bank.dim == b.bank.dim and torch.allclose(
        a.bank.embeddings, b.bank.embeddings, atol=_SAME_TEXT
    )
    if not same:
        sources = [
            f"{bank.provenance.get('prompt_set', 'vectors')} by {bank.provenance.get('encoder')}"
            for bank in (a.bank, b.bank)
        ]
        raise ModelError(
            "the models to blend have different text banks",
            expected=f"the embeddings of {first} ({sources[0]})",
            found=f"{sources[1]} in {second}",
            hint="Train the second model with text.bank=start from the first one.",
        )

    # a learned scale is a weight, and averaged
    if _SCALE not in a.state and _SCALE not in b.state:
        ours, theirs = _fixed_scale(a), _fixed_scale(b)
        if not math.isclose(ours, theirs, rel_tol=1e-4):
            raise ModelError(
                "the models to blend differ in logit_scale",
                expected=f"{ours:g}, that of {first}",
                found=f"{theirs:g} in {second}",
            )


def _fixed_scale(saved: SavedModel) -> float:
    assert saved.bank is not None
    return float(saved.architecture.get("logit_scale") or saved.bank.logit_scale)


def _check_tensors(names: Sequence[str], states: Sequence[Mapping[str, Tensor]]) -> None:
    """Refuse tensors that only one model has, or of another shape."""
    shapes = [{name: tuple(value.shape) for name, value in state.items()} for state in states]
    for name, other in zip(names[1:], shapes[1:], strict=True):
        keys = shapes[0].keys() | other.keys()
        wrong = sorted(key for key in keys if shapes[0].get(key) != other.get(key))
        if wrong:
            raise ModelError(
                f"{len(wrong)} parameters of the models to blend do not match",
                expected=f"{_describe(wrong[0], shapes[0])}, as in {names[0]}",
                found=f"{_describe(wrong[0], other)} in {name}",
                hint=f"They are {first_few(wrong)}.",
            )


def _describe(name: str, shapes: Mapping[str, tuple[int, ...]]) -> str:
    return f"{name} {list(shapes[name])}" if name in shapes else f"no {name}"


def _facts(name: str, saved: SavedModel) -> dict[str, str]:
    """Name without folders of this machine, and the digest of the weights."""
    assert saved.folder is not None
    return {"model": public_model_name(name), "sha256": digest_file(saved.folder / WEIGHTS)}
