"""What changed between two text banks."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ke2nt.banks.text_bank import TextBank

__all__ = ["compare_banks"]


def compare_banks(first: TextBank, second: TextBank) -> dict[str, Any]:
    """Return what changed from one bank to another, as plain JSON.

    Returns:
        `settings`: fact → [first, second] where they differ; `classes`: for each class, and for
        the anchor under the key `anchor`, the prompts removed and added, and the cosine similarity
        of the two embeddings (None if a side lacks the class or the widths differ).
    """
    before, after = _settings(first), _settings(second)
    names = list(dict.fromkeys([*first.classes, *second.classes]))
    return {
        "settings": {
            name: [before[name], after[name]] for name in before if before[name] != after[name]
        },
        "classes": [
            {"class": name, **_compare(_class_parts(first, name), _class_parts(second, name))}
            for name in names
        ],
        "anchor": _compare(_anchor_parts(first), _anchor_parts(second)),
    }


def _settings(bank: TextBank) -> dict[str, Any]:
    names = ("encoder", "weights", "tokenizer", "ensemble")
    return {
        **{name: bank.provenance.get(name) for name in names},
        "width": bank.dim,
        "logit_scale": bank.logit_scale,
    }


def _class_parts(bank: TextBank, name: str) -> tuple[list[str], Tensor | None]:
    """Prompts and embedding (D,) of a class; none if the bank lacks it."""
    if name not in bank.classes:
        return [], None
    return bank.provenance["prompts"][name], bank.embeddings[bank.classes.index(name)]


def _anchor_parts(bank: TextBank) -> tuple[list[str], Tensor | None]:
    return bank.provenance["anchor"], bank.neutral


def _compare(
    first: tuple[list[str], Tensor | None], second: tuple[list[str], Tensor | None]
) -> dict[str, Any]:
    (before, old), (after, new) = first, second

    # both have unit norm, so the product is the cosine
    cosine = None
    if old is not None and new is not None and old.shape == new.shape:
        cosine = float(old.double() @ new.double())
    return {
        "removed": [text for text in before if text not in after],
        "added": [text for text in after if text not in before],
        "cosine": cosine,
    }
