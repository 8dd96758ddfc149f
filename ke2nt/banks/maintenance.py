"""Care of the cache: verify, prune and compare entries."""

from __future__ import annotations

import time
from typing import Any

from ke2nt.banks.bank_content import BankContent
from ke2nt.errors import CacheError
from ke2nt.runtime.entries import Entry, EntryCache

__all__ = ["compare", "prune", "verify"]

_DAY = 86400.0
_ABANDONED = 3600.0  # seconds after which a write that left its folder behind is over


def verify(cache: EntryCache[Any]) -> list[tuple[Entry, str | None]]:
    """Read every entry whole; each with the reason why it cannot be used, or None."""
    results: list[tuple[Entry, str | None]] = []
    for entry in cache.entries():
        problem = entry.problem
        if problem is None:
            try:
                cache.read(entry.key)
            except CacheError as error:
                problem = str(error)
        results.append((entry, problem))
    return results


def prune(
    cache: EntryCache[Any], *, older_than: float | None = None, everything: bool = False
) -> list[tuple[str, str]]:
    """Delete damaged entries, and what writes that were cut off left behind.

    Args:
        cache: The cache.
        older_than: Delete sound entries too that were made more than so many days ago.
        everything: Delete every entry.

    Returns:
        Name and reason of everything deleted.
    """
    now = time.time()
    removed = []
    for entry, problem in verify(cache):
        if everything:
            reason = "all"
        elif problem is not None:
            reason = problem
        elif older_than is not None and now - entry.modified > older_than * _DAY:
            reason = f"older than {older_than:g} days"
        else:
            continue
        cache.remove(entry.path)
        removed.append((entry.key, reason))
    for path in cache.leftovers():
        if now - path.stat().st_mtime > _ABANDONED:
            cache.remove(path)
            removed.append((path.name, "left by a write that was cut off"))
    return removed


def compare(first: BankContent, second: BankContent) -> dict[str, Any]:
    """What changed from one bank to another, as plain JSON.

    Returns:
        `settings`: fact → [first, second] where they differ; `classes`: for each class, and for
        the anchor under its own key, the prompts removed and added, and the cosine similarity of
        the two embeddings (None where a side lacks the class or the widths differ).
    """
    names = list(dict.fromkeys([*first.classes, *second.classes]))
    return {
        "settings": _settings(first, second),
        "classes": [{"class": name, **_change(first, second, name)} for name in names],
        "anchor": _change(first, second, None),
    }


def _settings(first: BankContent, second: BankContent) -> dict[str, list[Any]]:
    values = [
        {
            **{name: bank.provenance.get(name) for name in ("encoder", "weights", "tokenizer")},
            "ensemble": bank.provenance.get("ensemble"),
            "width": bank.raw.shape[1],
            "logit_scale": bank.logit_scale,
        }
        for bank in (first, second)
    ]
    return {
        name: [values[0][name], values[1][name]]
        for name in values[0]
        if values[0][name] != values[1][name]
    }


def _change(first: BankContent, second: BankContent, name: str | None) -> dict[str, Any]:
    """Prompts and cosine of one class, or of the anchor where `name` is None."""
    prompts, vectors = [], []
    for bank in (first, second):
        words = bank.provenance
        if name is None:
            prompts.append(words["anchor"])
            vectors.append(bank.neutral)
        elif name in bank.classes:
            prompts.append(words["prompts"][name])
            vectors.append(bank.embeddings[bank.classes.index(name)])
        else:
            prompts.append([])
    before, after = prompts
    same_space = len(vectors) == 2 and vectors[0].shape == vectors[1].shape
    return {
        "removed": [text for text in before if text not in after],
        "added": [text for text in after if text not in before],
        "cosine": float(vectors[0].double() @ vectors[1].double()) if same_space else None,
    }
