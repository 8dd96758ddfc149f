"""Names that commands take, checked before torch is imported and anything is read or loaded.

The library checks them again, and more closely; here a slip of the keyboard costs no seconds.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from ke2nt.checkpoints.find_model import check_model_name
from ke2nt.errors import CheckpointError, DataError
from ke2nt.runtime.formatting import printable
from ke2nt.vlm.source_names import check_source_name

__all__ = [
    "check_detector_name",
    "check_encoder_name",
    "check_files",
    "check_model_name",
    "is_trained_encoder",
    "no_input",
]

_SHOWN = 3
_TRAINED = "run:"


def check_detector_name(name: str) -> None:
    """Check the name of a face detector; its package and its model file are not opened.

    Raises:
        ConfigError: There is no such detector.
        CheckpointError: There is no such model file.
    """
    from ke2nt.predict.detectors import get_detector
    from ke2nt.runtime.extensions import is_dotted_path

    # a file is only opened later, as that takes seconds
    file = name.partition(":")[2] or name
    if file.endswith(".onnx") and not os.path.isfile(file):
        raise CheckpointError(
            "no model file for the face detector",
            expected="an ONNX file, such as yunet:MODEL.onnx",
            where=file,
        )

    # names with a part after a colon are checked with their files
    if name.partition(":")[0] not in _detector_kinds() and not is_dotted_path(name):
        get_detector(name)


def check_encoder_name(spec: str) -> None:
    """Check the kind of an image encoder, and the folder of a trained model.

    Raises:
        ModelError: There is no such kind of encoder.
        TextEncoderError: There is no such architecture or folder.
        CheckpointError: There is no such run.
    """
    from ke2nt.evaluation.image_encoders import IMAGE_ENCODERS, get_image_encoder

    kind, _, source = spec.partition(":")
    if kind not in IMAGE_ENCODERS or not source:
        get_image_encoder(spec)
    if is_trained_encoder(spec):
        check_model_name(source)
    else:
        check_source_name(spec)


def is_trained_encoder(spec: str) -> bool:
    """Whether an image encoder is a trained model."""
    return spec.startswith(_TRAINED)


def check_files(names: Sequence[str]) -> None:
    """Check that at least one image, video or camera that some names stand for is there.

    Raises:
        DataError: None is there.
    """
    from ke2nt.predict.paths import expand_paths

    # a missing file among others is named when its turn comes, and does not stop them
    missing = []
    for kind, path in expand_paths(names):
        if kind == "camera" or os.path.exists(path):
            return
        shown = printable(str(path)) or "an empty name"
        missing.append(f"{shown}: no such file")
    if not missing:
        raise no_input(names)
    raise DataError("nothing could be read", found="; ".join(missing[:_SHOWN]))


def no_input(names: Iterable[str]) -> DataError:
    """The error for folders and patterns without any image or video."""
    return DataError(
        "no image or video found",
        where=", ".join(map(printable, list(names)[:_SHOWN])),
        hint="Give images, videos, folders, a quoted pattern such as '*.jpg', or a camera number.",
    )


def _detector_kinds() -> set[str]:
    """Names of detectors, up to a colon."""
    from ke2nt.predict.anchor_detectors import KINDS
    from ke2nt.predict.detectors import DETECTORS

    return {name.partition(":")[0] for name in DETECTORS} | {"yunet", *KINDS}
