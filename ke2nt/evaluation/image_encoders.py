"""All image encoders by the name that users type. A new kind is one file and one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from ke2nt.errors import ModelError
from ke2nt.runtime.cache_folder import cache_folder
from ke2nt.runtime.file_digests import FileDigests
from ke2nt.runtime.suggest import did_you_mean
from ke2nt.vlm.base import ImageEncoder
from ke2nt.vlm.catalog import VISION_LANGUAGE_MODELS

__all__ = ["IMAGE_ENCODERS", "get_image_encoder"]


def _trained(source: str, digests: FileDigests, text_encoder: str | None = None) -> ImageEncoder:
    from ke2nt.evaluation.trained_encoder import TrainedEncoder

    return TrainedEncoder(source, digests, text_encoder)


IMAGE_ENCODERS: Mapping[str, Callable[[str, FileDigests], ImageEncoder]] = {
    **VISION_LANGUAGE_MODELS,
    "run": _trained,
}
_FORMS = (
    "open_clip:ARCH/TAG, open_clip:ARCH/CHECKPOINT, open_clip:FOLDER, transformers:HUB-ID, "
    "transformers:FOLDER or run:DIR"
)


def get_image_encoder(
    spec: str, *, cache_dir: str | Path | None = None, text_encoder: str | None = None
) -> ImageEncoder:
    """Return the image encoder of a name such as "open_clip:ViT-B-16/openai".

    Nothing is loaded yet.

    Args:
        spec: "open_clip:ARCH/TAG-or-checkpoint", "open_clip:FOLDER", "transformers:ID-or-folder",
            or "run:DIR".
        cache_dir: Where digests of large files are remembered; None for the cache folder.
        text_encoder: For "run:DIR", the text encoder that the model was trained with, if the
            run's name for it is no longer valid.

    Raises:
        ModelError: No such kind of encoder, or the run has no text head.
        TextEncoderError: No such vision-language model.
        CheckpointError: No such run.
    """
    name, _, source = spec.partition(":")
    if name not in IMAGE_ENCODERS or not source:
        raise ModelError(
            f"unknown image encoder {spec!r}",
            expected=_FORMS,
            hint=None if name in IMAGE_ENCODERS else did_you_mean(name, IMAGE_ENCODERS),
        )

    # only a run can have lost its text encoder; the others hold theirs in the same checkpoint
    digests = FileDigests(cache_folder(cache_dir))
    if name == "run":
        return _trained(source, digests, text_encoder)
    if text_encoder is not None:
        raise ModelError(
            "a vision-language model brings its own text encoder",
            expected="no other one, except for run:DIR",
            found=text_encoder,
        )
    return IMAGE_ENCODERS[name](source, digests)
