"""`ke2nt cache`: build banks of text embeddings; list and care for these and image embeddings."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ke2nt.cli.output import JsonFlag, print_json, print_line, print_table
from ke2nt.errors import CacheError

if TYPE_CHECKING:
    from ke2nt.banks.bank_cache import BankCache
    from ke2nt.banks.cache import Entry
    from ke2nt.banks.image_cache import ImageCache

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Text and image embeddings, kept on disk.")

CacheDir = Annotated[
    Path | None,
    typer.Option("--cache-dir", help="Cache folder. Default: KE2NT_CACHE, else the platform's."),
]
Key = Annotated[str, typer.Argument(help="First characters of an entry's key.")]


@app.command()
def build(
    prompts: Annotated[
        list[str],
        typer.Option("--prompts", "-p", help="Prompt set: a shipped name or a YAML file; repeat."),
    ],
    encoder: Annotated[
        str,
        typer.Option(
            "--encoder",
            "-e",
            help="minilm, open_clip:ARCH/TAG-or-checkpoint, open_clip:FOLDER, "
            "transformers:ID-or-folder, or package.module.Name of your own class.",
        ),
    ] = "minilm",
    classes: Annotated[
        str | None, typer.Option(help="Classes, separated by commas. Default: all.")
    ] = None,
    cache_dir: CacheDir = None,
    json: JsonFlag = False,
) -> None:
    """Embed prompt sets, so that training and prediction find them ready."""
    from ke2nt.banks.build_bank import build_bank
    from ke2nt.banks.text_bank import TextBank

    names = [name.strip() for name in classes.split(",")] if classes else None
    rows = []
    for name in prompts:
        built = build_bank(TextBank, name, encoder, names, cache_dir)
        rows.append(
            {
                "prompts": name,
                "encoder": built.bank.provenance["encoder"],
                "origin": built.origin,
                "key": built.key,
                "classes": list(built.classes),
                "width": built.bank.raw.shape[1],
                "logit_scale": built.bank.logit_scale,
                "note": built.bank.provenance.get("note"),
            }
        )
    if json:
        print_json(rows)
        return
    for row in rows:
        key = f" {row['key'][:12]}" if row["key"] else ""
        print_line(
            f"{row['prompts']}: {len(row['classes'])} classes, {row['width']} wide, "
            f"{row['encoder']}, {row['origin']}{key}" + (f" ({row['note']})" if row["note"] else "")
        )


@app.command("list")
def list_(cache_dir: CacheDir = None, json: JsonFlag = False) -> None:
    """Every entry of the cache; `ke2nt cache verify` reads them whole."""
    cache, images = _caches(cache_dir)
    entries = [_summary(entry) for entry in cache.entries()]
    pictures = [_image_summary(entry) for entry in images.entries()]
    if json:
        print_json({"folder": str(cache.folder), "entries": entries, "images": pictures})
        return
    print_line(f"{cache.folder}: {len(entries)} text banks, {len(pictures)} splits of images")
    if entries:
        print_table(
            ["key", "prompts", "encoder", "n classes", "width#", "made", "KiB#", "problem"],
            [
                (
                    row["key"][:12],
                    row["prompt_set"],
                    row["encoder"],
                    len(row["classes"]),
                    row["width"],
                    row["made"],
                    f"{row['bytes'] / 1024:.0f}",
                    "damaged" if row["problem"] else "",
                )
                for row in entries
            ],
        )
    if pictures:
        print_table(
            ["key", "dataset", "split", "encoder", "n images", "made", "KiB#", "problem"],
            [
                (
                    row["key"][:12],
                    row["dataset"],
                    row["split"],
                    row["encoder"],
                    row["count"],
                    row["made"],
                    f"{row['bytes'] / 1024:.0f}",
                    "damaged" if row["problem"] else "",
                )
                for row in pictures
            ],
        )


@app.command()
def show(key: Key, cache_dir: CacheDir = None, json: JsonFlag = False) -> None:
    """One text bank: what it was made from."""
    cache, _ = _caches(cache_dir)
    entry = cache.resolve(key)
    content = cache.read(entry.key)
    facts: dict[str, Any] = {
        **_summary(entry),
        "neutral_index": content.neutral_index,
        "logit_scale": content.logit_scale,
        "provenance": content.provenance,
    }
    if json:
        print_json(facts)
        return
    for name in ("key", "encoder", "prompt_set", "width", "logit_scale", "made"):
        print_line(f"{name}: {facts[name]}")
    for name, texts in [*content.provenance["prompts"].items(), ("(neutral anchor)", None)]:
        print_line(f"{name}:")
        for text in texts or content.provenance["anchor"]:
            print_line(f"  {text}")


@app.command()
def verify(cache_dir: CacheDir = None, json: JsonFlag = False) -> None:
    """Read every entry whole and check its digests; exit code 2 if one is damaged."""
    from ke2nt.banks.cache_maintenance import verify as verify_all

    caches = _caches(cache_dir)
    folder = caches[0].folder
    results = [result for cache in caches for result in verify_all(cache)]
    if json:
        rows = [{"key": entry.key, "problem": problem} for entry, problem in results]
        print_json({"folder": str(folder), "entries": rows})
    else:
        for entry, problem in results:
            print_line(f"{entry.key[:12]} {problem or 'ok'}")
    damaged = [entry for entry, problem in results if problem]
    if damaged:
        raise CacheError(
            f"{len(damaged)} of {len(results)} cache entries cannot be used",
            where=folder,
            hint="They are made anew when next asked for; to delete them now, type: "
            "ke2nt cache prune",
        )
    if not json:
        print_line(f"{len(results)} entries, all sound")


@app.command()
def diff(first: Key, second: Key, cache_dir: CacheDir = None, json: JsonFlag = False) -> None:
    """What changed between two text banks: settings, prompts, and the cosine of each class."""
    from ke2nt.banks.compare_banks import compare_banks

    cache, _ = _caches(cache_dir)
    changes = compare_banks(*(cache.read(cache.resolve(key).key) for key in (first, second)))
    if json:
        print_json(changes)
        return
    for name, (before, after) in changes["settings"].items():
        print_line(f"{name}: {before} → {after}")
    for row in [*changes["classes"], {"class": "(neutral anchor)", **changes["anchor"]}]:
        cosine = "not comparable" if row["cosine"] is None else f"cosine {row['cosine']:.4f}"
        print_line(f"{row['class']}: {cosine}")
        for sign, texts in (("-", row["removed"]), ("+", row["added"])):
            for text in texts:
                print_line(f"  {sign} {text}")


@app.command()
def prune(
    older_than: Annotated[
        float | None, typer.Option(min=0, help="Also entries made more than so many days ago.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every entry.")] = False,
    cache_dir: CacheDir = None,
    json: JsonFlag = False,
) -> None:
    """Delete damaged entries; sound ones only when asked."""
    from ke2nt.banks.cache_maintenance import prune as prune_cache

    removed = [
        row
        for cache in _caches(cache_dir)
        for row in prune_cache(cache, older_than=older_than, everything=everything)
    ]
    if json:
        print_json([{"key": key, "reason": reason} for key, reason in removed])
        return
    for key, reason in removed:
        print_line(f"deleted {key[:12]}: {reason}")
    print_line(f"{len(removed)} deleted")


def _caches(cache_dir: Path | None) -> tuple[BankCache, ImageCache]:
    from ke2nt.banks.bank_cache import BankCache
    from ke2nt.banks.image_cache import ImageCache
    from ke2nt.banks.text_bank import TextBank
    from ke2nt.runtime.cache_folder import cache_folder

    folder = cache_folder(cache_dir)
    if folder.exists() and not folder.is_dir():
        raise CacheError("the cache is a folder", found="a file", where=folder)
    return BankCache(folder, TextBank), ImageCache(folder)


def _image_summary(entry: Entry) -> dict[str, Any]:
    recipe = entry.facts["recipe"] if entry.facts else {}
    names = ("dataset", "split", "encoder", "count", "precision")
    return {**{name: recipe.get(name) for name in names}, **_on_disk(entry)}


def _on_disk(entry: Entry) -> dict[str, Any]:
    return {
        "key": entry.key,
        "made": time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.modified)),
        "bytes": entry.size,
        "problem": entry.problem,
    }


def _summary(entry: Entry) -> dict[str, Any]:
    facts = entry.facts or {"classes": [], "width": None, "provenance": {}}
    return {
        **_on_disk(entry),
        "prompt_set": facts["provenance"].get("prompt_set"),
        "encoder": facts["provenance"].get("encoder"),
        "classes": facts["classes"],
        "width": facts["width"],
    }
