"""`ke2nt zero-shot --save`: a vision-language model and its words as a model folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ke2nt.checkpoints.find_model import check_replaceable
from ke2nt.cli.names import is_trained_encoder
from ke2nt.cli.option_values import check_writable
from ke2nt.cli.options import OutputOptions
from ke2nt.cli.output import print_json, print_line, silent
from ke2nt.errors import ConfigError

if TYPE_CHECKING:
    from ke2nt.evaluation.zero_shot import ZeroShot
    from ke2nt.prompts.prompt_set import PromptSet

__all__ = ["SaveOption", "check_save", "save_recognizer"]

SaveOption = Annotated[
    Path | None,
    typer.Option(
        "--save",
        callback=check_writable,
        help="Model folder to write: image tower, text embeddings and preprocessing.",
    ),
]


def check_save(folder: Path, encoders: Sequence[str], prompts: Sequence[PromptSet]) -> None:
    """Check that one untrained model is to be saved, in a folder that may be written.

    Raises:
        ConfigError: There are several models or prompt sets, or the model is saved already.
        CheckpointError: The folder holds other files.
    """
    if len(encoders) != 1 or len(prompts) != 1:
        raise ConfigError(
            "--save takes one model and one prompt set",
            found=f"{len(encoders)} models and {len(prompts)} prompt sets",
        )
    if is_trained_encoder(encoders[0]):
        raise ConfigError(
            f"{encoders[0]} is a saved model already",
            expected="open_clip:ARCH/TAG-or-path or transformers:ID-or-folder",
        )

    check_replaceable(folder)


def save_recognizer(
    folder: Path,
    encoder: str,
    prompts: PromptSet,
    classes: Sequence[str] | None,
    cache_dir: Path | None,
    output: OutputOptions,
    result: ZeroShot | None = None,
) -> None:
    """Write the model folder, with the metrics of an evaluation on its card.

    Args:
        folder: New, empty, or an older saved model.
        encoder: The model's name.
        prompts: Its words.
        classes: Classes of the prompt set; None for all.
        cache_dir: Cache folder.
        output: What to print.
        result: The evaluation, which has been printed.
    """
    from ke2nt.checkpoints.card_facts import evaluation_facts
    from ke2nt.models.ke2nt import KE2NT

    model = KE2NT.from_vlm(encoder, prompts, classes, cache_dir=cache_dir)
    if result is not None:
        model.card["evaluations"] = [evaluation_facts(result.to_dict())]
    if silent():
        return
    model.save_pretrained(folder)

    # one JSON document: that of the evaluation, if there is one
    if output.json and result is None:
        print_json({"model": str(folder), "encoder": encoder, "classes": list(model.classes)})
    if not output.json:
        print_line(f"model: {folder}   classes: {', '.join(model.classes)}")
        print_line(f"next: ke2nt predict photo.jpg --model {folder}")
