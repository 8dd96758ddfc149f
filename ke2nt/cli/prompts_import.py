"""`ke2nt prompts import`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ke2nt.cli.options import CacheDirOption, JsonFlag
from ke2nt.cli.output import print_json, print_line, print_notes
from ke2nt.errors import ConfigError

if TYPE_CHECKING:
    from ke2nt.prompts.import_sentences import ImportedPrompts
    from ke2nt.vlm.base import TextEncoder

__all__ = ["import_"]

_SHOWN = 10


def import_(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="JSON or CSV of classes and sentences.")
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="SET.yaml", help="The prompt set to write.")
    ],
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the set. Default: that of the file.")
    ] = None,
    descriptors: Annotated[
        bool,
        typer.Option(
            "--descriptors",
            help='Entries are descriptors, such as "wide eyes": make sentences of them.',
        ),
    ] = False,
    template: Annotated[
        str | None,
        typer.Option("--template", help="A sentence with {class} and {text} for every entry."),
    ] = None,
    anchor: Annotated[
        list[str] | None,
        typer.Option("--anchor", help="A prompt of the neutral face; may be repeated."),
    ] = None,
    keep_names: Annotated[
        bool, typer.Option("--keep-names", help="Leave class names as they are.")
    ] = False,
    encoder: Annotated[
        str | None,
        typer.Option(
            "--encoder", "-e", help="Also check lengths and similarity with this text encoder."
        ),
    ] = None,
    drop_long: Annotated[
        bool, typer.Option("--drop-long", help="Leave out what the encoder would truncate.")
    ] = False,
    threshold: Annotated[
        float,
        typer.Option("--threshold", min=0, max=1, help="Minimum cosine of near-duplicates."),
    ] = 0.98,
    cache_dir: CacheDirOption = None,
    json: JsonFlag = False,
) -> None:
    """Make a prompt set of sentences that a language model wrote (CuPL, DCLIP, WaffleCLIP).

    Example: ke2nt prompts import descriptors.json --descriptors --encoder
    open_clip:ViT-B-16/openai --out described.yaml
    """
    _check_options(out, template, descriptors, encoder, drop_long)
    from ke2nt.prompts.import_sentences import DESCRIPTOR_TEMPLATE, import_sentences
    from ke2nt.runtime.atomic import write_text
    from ke2nt.vlm.catalog import get_text_encoder

    options: dict[str, Any] = {
        "name": name or out.stem,
        "template": DESCRIPTOR_TEMPLATE if descriptors else template,
        "anchor": anchor,
        "keep_names": keep_names,
    }
    imported = import_sentences(file, **options)

    # the encoder comes last: it takes seconds
    too_long: list[str] = []
    pairs: list[dict[str, Any]] = []
    notes: list[str] = []
    if encoder is not None:
        text_encoder = get_text_encoder(encoder, cache_dir=cache_dir)
        too_long = _find_too_long(imported, text_encoder)
        if too_long and drop_long:
            imported = import_sentences(file, **options, leave_out=too_long)
        pairs, notes = _find_near(imported, text_encoder, set(too_long), threshold, cache_dir)

    write_text(out, imported.prompts.to_yaml())
    facts = {
        "file": str(out),
        "classes": {each: len(imported.prompts.render(each)) for each in imported.prompts.classes},
        "renamed": dict(imported.renamed),
        "repeated": dict(imported.repeated),
        "warnings": [*imported.warnings, *notes],
        "too_long": too_long,
        "left_out": bool(too_long and drop_long),
        "near": pairs,
    }
    if json:
        print_json(facts)
        return
    _show(facts, encoder)


def _check_options(
    out: Path, template: str | None, descriptors: bool, encoder: str | None, drop_long: bool
) -> None:
    from ke2nt.runtime.atomic import check_folder

    if out.suffix.lower() not in (".yaml", ".yml") or out.is_dir():
        raise ConfigError("--out is not a YAML file", expected="SET.yaml", found=out)
    check_folder(out.parent)
    if template is not None and descriptors:
        raise ConfigError("--descriptors has a template of its own", expected="one of both options")
    if drop_long and encoder is None:
        raise ConfigError(
            "--drop-long needs an encoder",
            expected="--encoder",
            hint="Only an encoder says which prompts are too long.",
        )


def _find_too_long(imported: ImportedPrompts, encoder: TextEncoder) -> list[str]:
    """Prompts that an encoder would truncate."""
    from ke2nt.errors import PromptError

    too_long = []
    for text in _list_prompts(imported):
        try:
            encoder.check_lengths([text])
        except PromptError:
            too_long.append(text)
    return too_long


def _find_near(
    imported: ImportedPrompts,
    encoder: TextEncoder,
    skipped: set[str],
    threshold: float,
    cache_dir: Path | None,
) -> tuple[list[dict[str, Any]], list[str]]:
    """Pairs of prompts with a high cosine, and a note if the encoder's weights are not here."""
    from ke2nt.banks.prompt_embeddings import embed_prompts
    from ke2nt.promptlab.vectors import find_near_pairs
    from ke2nt.vlm.base import WeightsUnavailableError

    texts = [text for text in _list_prompts(imported) if text not in skipped]
    try:
        vectors = embed_prompts(texts, encoder, cache_dir).double().numpy()
    except WeightsUnavailableError as error:
        return [], [f"not compared by cosine: {error}"]
    return [
        {"first": texts[i], "second": texts[j], "cosine": round(cosine, 4)}
        for i, j, cosine in find_near_pairs(vectors, threshold)
    ], []


def _list_prompts(imported: ImportedPrompts) -> list[str]:
    prompts = imported.prompts
    return list(dict.fromkeys(text for each in prompts.classes for text in prompts.render(each)))


def _show(facts: dict[str, Any], encoder: str | None) -> None:
    """Print what was read, changed and is doubtful."""
    counts = ", ".join(f"{name} {count}" for name, count in facts["classes"].items())
    print_line(f"{sum(facts['classes'].values())} prompts: {counts}")
    for old, new in facts["renamed"].items():
        print_line(f"{old!r} is {new!r} in the datasets")
    for name, count in facts["repeated"].items():
        print_line(f"{name}: {count} repeated sentences left out")

    print_notes(facts["warnings"])
    verb = "left out" if facts["left_out"] else "would be truncated"
    _show_some(f"{verb}, too long for {encoder}", [repr(text) for text in facts["too_long"]])
    _show_some(
        f"nearly the same to {encoder}",
        [
            f"{each['first']!r} = {each['second']!r} ({each['cosine']:.3f})"
            for each in facts["near"]
        ],
    )
    print_line(f"written: {facts['file']}")


def _show_some(title: str, lines: Sequence[str]) -> None:
    if not lines:
        return
    print_line(f"{len(lines)} {title}:")
    for line in lines[:_SHOWN]:
        print_line(f"  {line}")
    if len(lines) > _SHOWN:
        print_line(f"  and {len(lines) - _SHOWN} more: --json for all")
