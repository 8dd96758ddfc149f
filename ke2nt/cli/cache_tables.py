"""Cache entries as facts and as tables."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ke2nt.cli.output import print_line, print_table

if TYPE_CHECKING:
    from ke2nt.banks.cache import Entry

__all__ = [
    "describe_bank_entry",
    "describe_image_entry",
    "show_bank",
    "show_bank_changes",
    "show_entries",
]

_IMAGE_FACTS = ("dataset", "split", "encoder", "count", "precision")
_SHOWN_FACTS = ("key", "encoder", "prompt_set", "width", "logit_scale", "made")


def describe_bank_entry(entry: Entry) -> dict[str, Any]:
    """Return the facts of a text bank as plain JSON."""
    facts = entry.facts or {"classes": [], "width": None, "provenance": {}}
    return {
        **_describe_file(entry),
        "prompt_set": facts["provenance"].get("prompt_set"),
        "encoder": facts["provenance"].get("encoder"),
        "classes": facts["classes"],
        "width": facts["width"],
    }


def describe_image_entry(entry: Entry) -> dict[str, Any]:
    """Return the facts of a split of image embeddings as plain JSON."""
    recipe = entry.facts["recipe"] if entry.facts else {}
    return {**{name: recipe.get(name) for name in _IMAGE_FACTS}, **_describe_file(entry)}


def _describe_file(entry: Entry) -> dict[str, Any]:
    return {
        "key": entry.key,
        "made": time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.modified)),
        "bytes": entry.size,
        "problem": entry.problem,
    }


def show_entries(banks: Sequence[dict[str, Any]], images: Sequence[dict[str, Any]]) -> None:
    """Print a table of text banks, and one of image embeddings."""
    end = ["made", "KiB#", "problem"]
    if banks:
        print_table(
            ["key", "prompts", "encoder", "n classes", "width#", *end],
            [
                [
                    row["key"][:12],
                    row["prompt_set"],
                    row["encoder"],
                    len(row["classes"]),
                    row["width"],
                    *_file_cells(row),
                ]
                for row in banks
            ],
        )

    # image embeddings have no prompts, but a dataset
    if images:
        print_table(
            ["key", "dataset", "split", "encoder", "n images", *end],
            [
                [
                    row["key"][:12],
                    row["dataset"],
                    row["split"],
                    row["encoder"],
                    row["count"],
                    *_file_cells(row),
                ]
                for row in images
            ],
        )


def _file_cells(row: dict[str, Any]) -> list[str]:
    return [row["made"], f"{row['bytes'] / 1024:.0f}", "damaged" if row["problem"] else ""]


def show_bank(facts: dict[str, Any]) -> None:
    """Print what a text bank was made from, with all prompts."""
    for name in _SHOWN_FACTS:
        print_line(f"{name}: {facts[name]}")

    provenance = facts["provenance"]
    for name, prompts in [*provenance["prompts"].items(), ("(neutral anchor)", None)]:
        print_line(f"{name}:")
        for prompt in prompts or provenance["anchor"]:
            print_line(f"  {prompt}")


def show_bank_changes(changes: dict[str, Any]) -> None:
    """Print how two text banks differ."""
    for name, (before, after) in changes["settings"].items():
        print_line(f"{name}: {before} → {after}")

    # the neutral anchor has prompts and a cosine like a class
    for row in [*changes["classes"], {"class": "(neutral anchor)", **changes["anchor"]}]:
        cosine = "not comparable" if row["cosine"] is None else f"cosine {row['cosine']:.4f}"
        print_line(f"{row['class']}: {cosine}")
        for sign, prompts in (("-", row["removed"]), ("+", row["added"])):
            for prompt in prompts:
                print_line(f"  {sign} {prompt}")
