"""`ke2nt cache`: build banks of text embeddings; list and maintain text and image embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ke2nt.cli.cache_tables import (
    describe_bank_entry,
    describe_image_entry,
    show_bank,
    show_bank_changes,
    show_entries,
)
from ke2nt.cli.option_values import check_zip, read_names
from ke2nt.cli.options import CacheDirOption, JsonFlag
from ke2nt.cli.output import print_json, print_line
from ke2nt.errors import CacheError, PromptError

if TYPE_CHECKING:
    from ke2nt.banks.bank_cache import BankCache
    from ke2nt.banks.image_cache import ImageCache

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True, help="Build, list, verify and prune cached text and image embeddings."
)

_Key = Annotated[str, typer.Argument(help="First characters of an entry's key.")]


@app.command()
def build(
    prompts: Annotated[
        list[str] | None,
        typer.Option("--prompts", "-p", help="Prompt set: shipped name or YAML file; repeatable."),
    ] = None,
    all_prompts: Annotated[
        bool, typer.Option("--all-prompts", help="Every prompt set of the package, too.")
    ] = False,
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
    pack: Annotated[
        Path | None,
        typer.Option(
            "--pack",
            callback=check_zip,
            metavar="FILE.zip",
            help="Also write the banks into a file for `ke2nt cache unpack`.",
        ),
    ] = None,
    cache_dir: CacheDirOption = None,
    json: JsonFlag = False,
) -> None:
    """Embed prompt sets, so that training and prediction find them ready, and verify the banks.

    Example: ke2nt cache build --all-prompts --encoder open_clip:ViT-B-16/openai --pack banks.zip
    """
    from ke2nt.prompts.prompt_set import PromptSet
    from ke2nt.vlm.catalog import get_text_encoder

    # names are checked before torch is imported, and before the first set is embedded
    names = _choose_sets(prompts, all_prompts)
    for name in names:
        PromptSet.load(name)
    get_text_encoder(encoder, cache_dir=cache_dir)

    from ke2nt.banks.bank_pack import pack_banks
    from ke2nt.banks.build_bank import build_bank
    from ke2nt.banks.text_bank import TextBank

    # a bank is built, taken from the cache, or shipped: `origin` says which
    banks, _ = _open_caches(cache_dir)
    rows = []
    for name in names:
        built = build_bank(TextBank, name, encoder, read_names(classes or None), cache_dir)
        # read back from disk, with its digests; a shipped bank is checked when it is read
        if built.key is not None:
            banks.read(built.key)
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
    keys = [str(row["key"]) for row in rows if row["key"]]
    if pack is not None:
        pack_banks(banks, keys, pack)
    if json:
        print_json(rows)
        return

    for row in rows:
        key = f" {row['key'][:12]}" if row["key"] else ""
        note = f" ({row['note']})" if row["note"] else ""
        print_line(
            f"{row['prompts']}: {len(row['classes'])} classes, {row['width']} wide, "
            f"{row['encoder']}, {row['origin']}{key}{note}"
        )
    print_line(f"{len(rows)} banks verified")
    if pack is not None:
        _show_pack(pack, len(set(keys)))


@app.command()
def pack(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.zip", callback=check_zip, help="The file to write.")
    ],
    key: Annotated[
        list[str] | None,
        typer.Option("--key", help="Only this bank: first characters of its key; repeatable."),
    ] = None,
    cache_dir: CacheDirOption = None,
    json: JsonFlag = False,
) -> None:
    """Write text banks into one file, for a machine that cannot make them."""
    _check_bank_keys(cache_dir, *(key or ()))
    from ke2nt.banks.bank_pack import pack_banks

    # damaged entries stop the command: a pack holds what was asked for
    banks, _ = _open_caches(cache_dir)
    chosen = [banks.resolve(each) for each in key] if key else list(banks.entries())
    keys = [entry.key for entry in chosen]
    pack_banks(banks, keys, file)
    if json:
        print_json({"file": str(file), "keys": sorted(keys)})
        return
    _show_pack(file, len(set(keys)))


@app.command()
def unpack(
    file: Annotated[Path, typer.Argument(metavar="FILE.zip", help="A file of `ke2nt cache pack`.")],
    cache_dir: CacheDirOption = None,
    json: JsonFlag = False,
) -> None:
    """Add the text banks of a file to the cache; every digest is checked before the first one."""
    if not file.is_file():
        raise CacheError(
            "no such file", where=file, expected="a file that `ke2nt cache pack` wrote"
        )
    from ke2nt.banks.bank_pack import unpack_banks

    banks, _ = _open_caches(cache_dir)
    states = unpack_banks(banks, file)
    if json:
        print_json({"folder": str(banks.folder), "entries": states})
        return
    added = sum(state == "added" for state in states.values())
    print_line(f"{banks.folder}: {added} text banks added, {len(states) - added} were there")


@app.command()
def faces(cache_dir: CacheDirOption = None, json: JsonFlag = False) -> None:
    """Convert the face weights of the extra `faces`, for model.weights=faces."""
    from ke2nt.models.face_weights import convert_face_weights

    path = convert_face_weights(cache_dir)
    size = path.stat().st_size
    if json:
        print_json({"path": str(path), "bytes": size})
        return
    print_line(f"{path}: {size / 2**20:.1f} MiB, for model.backbone=dlib_resnet")


@app.command("list")
def list_(cache_dir: CacheDirOption = None, json: JsonFlag = False) -> None:
    """List every entry of the cache; `ke2nt cache verify` also reads them."""
    banks, images = _open_caches(cache_dir)
    bank_entries = [describe_bank_entry(entry) for entry in banks.entries()]
    image_entries = [describe_image_entry(entry) for entry in images.entries()]
    if json:
        facts = {"entries": bank_entries, "images": image_entries}
        print_json({"folder": str(banks.folder), **facts})
        return

    print_line(
        f"{banks.folder}: {len(bank_entries)} text banks, {len(image_entries)} splits of images"
    )
    show_entries(bank_entries, image_entries)


@app.command()
def show(key: _Key, cache_dir: CacheDirOption = None, json: JsonFlag = False) -> None:
    """Show what a text bank was made from."""
    _check_bank_keys(cache_dir, key)
    banks, _ = _open_caches(cache_dir)
    entry = banks.resolve(key)
    content = banks.read(entry.key)
    facts: dict[str, Any] = {
        **describe_bank_entry(entry),
        "neutral_index": content.neutral_index,
        "logit_scale": content.logit_scale,
        "provenance": content.provenance,
    }
    if json:
        print_json(facts)
        return
    show_bank(facts)


@app.command()
def verify(cache_dir: CacheDirOption = None, json: JsonFlag = False) -> None:
    """Read every entry and the face weights; the exit code is 2 if one is damaged."""
    from ke2nt.banks.cache_maintenance import verify as verify_entries
    from ke2nt.models.face_weights import converted_file, read_converted

    banks, images = _open_caches(cache_dir)
    results = [*verify_entries(banks), *verify_entries(images)]
    if json:
        rows = [{"key": entry.key, "problem": problem} for entry, problem in results]
        print_json({"folder": str(banks.folder), "entries": rows})
    else:
        for entry, problem in results:
            print_line(f"{entry.key[:12]} {problem or 'ok'}")

    # the error comes after the list, so that every damaged entry is named
    damaged = [entry for entry, problem in results if problem]
    if damaged:
        raise CacheError(
            f"{len(damaged)} of {len(results)} cache entries are damaged",
            where=banks.folder,
            hint="They are rebuilt when next needed; to delete them now, type: ke2nt cache prune",
        )
    weights = converted_file(cache_dir)
    if weights.is_file():
        read_converted(weights)
    if not json:
        print_line(f"{len(results)} entries, none damaged")
        if weights.is_file():
            print_line("face weights: ok")


@app.command()
def diff(
    first: _Key, second: _Key, cache_dir: CacheDirOption = None, json: JsonFlag = False
) -> None:
    """Show what changed between two text banks: settings, prompts, and the cosine of each class."""
    _check_bank_keys(cache_dir, first, second)
    from ke2nt.banks.compare_banks import compare_banks

    banks, _ = _open_caches(cache_dir)

    # keys may be shortened, as long as they are unique
    before, after = (banks.read(banks.resolve(key).key) for key in (first, second))
    changes = compare_banks(before, after)
    if json:
        print_json(changes)
        return
    show_bank_changes(changes)


@app.command()
def prune(
    older_than: Annotated[
        float | None, typer.Option(min=0, help="Also delete entries older than this many days.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Delete every entry.")] = False,
    cache_dir: CacheDirOption = None,
    json: JsonFlag = False,
) -> None:
    """Delete damaged entries; others only on request."""
    from ke2nt.banks.cache_maintenance import prune as prune_entries

    # both caches lie in one folder, and are pruned together
    removed = []
    for cache in _open_caches(cache_dir):
        removed += prune_entries(cache, older_than=older_than, everything=everything)
    if json:
        print_json([{"key": key, "reason": reason} for key, reason in removed])
        return
    for key, reason in removed:
        print_line(f"deleted {key[:12]}: {reason}")
    print_line(f"{len(removed)} deleted")


def _choose_sets(prompts: list[str] | None, all_prompts: bool) -> list[str]:
    """The requested prompt sets, each once.

    Raises:
        PromptError: There is none.
    """
    from ke2nt.resources import list_resources

    shipped = list_resources("prompts") if all_prompts else ()
    names = list(dict.fromkeys([*shipped, *(prompts or ())]))
    if not names:
        raise PromptError("no prompt set is named", expected="--prompts NAME, or --all-prompts")
    return names


def _show_pack(path: Path, count: int) -> None:
    print_line(f"written: {path} ({count} text banks, {path.stat().st_size / 1024:.0f} KiB)")


def _check_bank_keys(cache_dir: Path | None, *prefixes: str) -> None:
    """Check that each prefix stands for one text bank, before torch is imported to read it."""
    from ke2nt.banks.cache import BANKS, resolve_key
    from ke2nt.runtime.cache_folder import cache_folder

    for prefix in prefixes:
        resolve_key(cache_folder(cache_dir) / BANKS, prefix)


def _open_caches(cache_dir: Path | None) -> tuple[BankCache, ImageCache]:
    """Return the caches of text banks and of image embeddings."""
    from ke2nt.banks.bank_cache import BankCache
    from ke2nt.banks.image_cache import ImageCache
    from ke2nt.banks.text_bank import TextBank
    from ke2nt.runtime.cache_folder import cache_folder

    # an absent folder is an empty cache
    folder = cache_folder(cache_dir)
    if folder.exists() and not folder.is_dir():
        raise CacheError("the cache must be a folder", found="a file", where=folder)
    return BankCache(folder, TextBank), ImageCache(folder)
