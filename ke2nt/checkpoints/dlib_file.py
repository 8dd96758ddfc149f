"""dlib's face network, read from its `.dat` file: filters, affine layers, and the last matrix.

The format is that of dlib's `serialize`: integers of one to eight bytes behind a control byte,
floats as mantissa and exponent, tensors as raw float32. Only what the face network has is read.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ke2nt.errors import CheckpointError

__all__ = ["DlibFace", "FoldedConv", "read_dlib_face"]

_LOSS = "loss_metric_2"
_WRAPPERS = 108 + 22  # layers that compute, and tags and skips, each with its version
_LAYERS = 108
_NEGATIVE = 0x80


class FoldedConv(NamedTuple):
    """A convolution and the affine layer behind it: y = scale · (conv(x) + bias) + shift.

    Attributes:
        weight: (out, in, kernel, kernel) float32.
        bias: (out,).
        scale: (out,), with the statistics of a batch normalization folded in.
        shift: (out,).
    """

    weight: np.ndarray
    bias: np.ndarray
    scale: np.ndarray
    shift: np.ndarray


@dataclass(frozen=True, slots=True)
class DlibFace:
    """Weights of the network.

    Attributes:
        convolutions: In the order of the network: the first one, then two of each block.
        matrix: (256, 128) from pooled features to the descriptor.
        mean: Mean of the pixels, RGB, 0 to 255.
        size: Side of the square input in pixels.
    """

    convolutions: tuple[FoldedConv, ...]
    matrix: np.ndarray
    mean: tuple[float, float, float]
    size: int


def read_dlib_face(path: Path) -> DlibFace:
    """Read `dlib_face_recognition_resnet_model_v1.dat`.

    Raises:
        CheckpointError: It is not that file, or it is damaged.
    """
    try:
        return _read(_Reader(path.read_bytes()))
    except (OSError, ValueError, IndexError, struct.error) as error:
        raise CheckpointError(
            "the file cannot be read as dlib's face network",
            expected="dlib_face_recognition_resnet_model_v1.dat",
            found=str(error) or type(error).__name__,
            where=path,
        ) from error


def _read(file: _Reader) -> DlibFace:
    # the loss, then one version for each layer, outermost first
    file.integer()
    if (name := file.text()) != _LOSS:
        raise ValueError(f"the loss {name!r}, not {_LOSS}")
    file.floats(2)
    for _ in range(_WRAPPERS):
        file.integer()

    if (name := file.text()) != "input_rgb_image_sized":
        raise ValueError(f"the input {name!r}")
    red, green, blue = file.floats(3)
    size, _ = file.integer(), file.integer()

    # the layers, from the input on; a convolution waits for the affine layer behind it
    convolutions: list[FoldedConv] = []
    filters: tuple[np.ndarray, np.ndarray] | None = None
    matrix: np.ndarray | None = None
    for index in range(_LAYERS):
        kind = file.text()
        if kind == "con_4":
            filters = _read_convolution(file)
        elif kind == "affine_":
            if filters is None:
                raise ValueError("an affine layer without a convolution")
            convolutions.append(FoldedConv(*filters, *_read_affine(file)))
            filters = None
        elif kind == "fc_2":
            matrix = _read_matrix(file)
        else:
            _skip_plain(file, kind)
        file.layer_end(innermost=index == 0)

    if matrix is None or file.rest():
        raise ValueError(f"{file.rest()} bytes behind the last layer")
    return DlibFace(tuple(convolutions), matrix, (red, green, blue), size)


def _read_convolution(file: _Reader) -> tuple[np.ndarray, np.ndarray]:
    params = file.tensor().ravel()
    filters, rows, columns = (file.integer() for _ in range(3))
    file.integers(4)  # strides and padding, which the architecture knows
    shape, _ = file.alias(), file.alias()
    file.floats(4)  # multipliers of learning rates

    count = int(np.prod(shape))
    weight = params[:count].reshape(shape)
    if weight.shape[0] != filters or weight.shape[2:] != (rows, columns):
        raise ValueError(f"filters of shape {weight.shape}")
    bias = params[count:]
    return weight, bias if bias.size else np.zeros(filters, np.float32)


def _read_affine(file: _Reader) -> tuple[np.ndarray, np.ndarray]:
    params = file.tensor().ravel()
    file.alias()
    file.alias()
    file.integer()  # for convolutions or for vectors
    scale, shift = np.split(params, 2)
    return scale, shift


def _read_matrix(file: _Reader) -> np.ndarray:
    outputs, inputs = file.integer(), file.integer()
    params = file.tensor().ravel()
    file.alias()
    file.alias()
    file.integer()
    file.floats(4)
    return params[: inputs * outputs].reshape(inputs, outputs)


def _skip_plain(file: _Reader, kind: str) -> None:
    """Read past a layer without parameters."""
    if kind in ("max_pool_2", "avg_pool_2"):
        file.integers(6)
    elif kind not in ("relu_", "add_prev_"):
        raise ValueError(f"the layer {kind!r}")


class _Reader:
    """Values of dlib's serialization, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def rest(self) -> int:
        """Number of bytes that are left."""
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        """Return the next bytes."""
        if count < 0 or count > self.rest():
            raise ValueError("the file ends early")
        self._at += count
        return self._data[self._at - count : self._at]

    def integer(self) -> int:
        """Read an integer: a control byte, then its magnitude."""
        control = self.take(1)[0]
        size = control & 0x0F
        if not 1 <= size <= 8:
            raise ValueError(f"an integer of {size} bytes")
        value = int.from_bytes(self.take(size), "little")
        return -value if control & _NEGATIVE else value

    def integers(self, count: int) -> list[int]:
        """Read several integers."""
        return [self.integer() for _ in range(count)]

    def floats(self, count: int) -> list[float]:
        """Read numbers: mantissa and exponent of 2."""
        numbers = []
        for _ in range(count):
            mantissa, exponent = self.integer(), self.integer()
            numbers.append(float(np.ldexp(float(mantissa), exponent)))
        return numbers

    def text(self) -> str:
        """Read a string."""
        return self.take(self.integer()).decode("latin1")

    def tensor(self) -> np.ndarray:
        """Read a tensor of four dimensions."""
        if (version := self.integer()) != 2:
            raise ValueError(f"a tensor of version {version}")
        shape = self.integers(4)
        data = self.take(4 * int(np.prod(shape)))
        return np.frombuffer(data, "<f4").reshape(shape)

    def alias(self) -> tuple[int, ...]:
        """Read the shape of a part of a tensor."""
        if (version := self.integer()) != 1:
            raise ValueError(f"a part of a tensor of version {version}")
        return tuple(self.integers(4))

    def layer_end(self, *, innermost: bool) -> None:
        """Read what follows each layer: three switches, and tensors that are empty."""
        self.take(3)
        for _ in range(3):
            self.tensor()
        if innermost:
            self.integer()
