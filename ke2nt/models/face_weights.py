"""Face weights that a package index has: dlib's network, from the extra `faces`."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ke2nt.checkpoints.dlib_file import read_dlib_face
from ke2nt.errors import CheckpointError, MissingExtraError, ModelError
from ke2nt.models.dlib_resnet import DLIB_MEAN, DLIB_STD, DlibResNet, unfold_affine_layers
from ke2nt.runtime.atomic import write_bytes
from ke2nt.runtime.cache_folder import cache_folder
from ke2nt.runtime.digest import digest_file
from ke2nt.runtime.tensor_files import read_safetensors

__all__ = [
    "convert_face_weights",
    "converted_file",
    "dlib_face_descriptors",
    "dlib_package_file",
    "face_weights",
    "load_face_network",
    "read_converted",
]

_PACKAGE = "face_recognition_models"
_FILE = "dlib_face_recognition_resnet_model_v1.dat"
_SHA256 = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
_CONVERTED = Path("faces", "1", "dlib_face_recognition_resnet_model_v1.safetensors")

_SIDE = 150
_FACES = 64  # that the statistics are measured on
_BATCH = 32


def dlib_package_file() -> Path | None:
    """dlib's file in the package of the extra `faces`, or None if that is not installed."""
    # located, not imported: the package needs one that Python no longer has
    spec = importlib.util.find_spec(_PACKAGE)
    folders = list(spec.submodule_search_locations or []) if spec else []
    return Path(folders[0]) / "models" / _FILE if folders else None


def face_weights(backbone: object = "dlib_resnet", cache_dir: str | Path | None = None) -> Path:
    """Return the converted weights, which are made on first use.

    Args:
        backbone: The image encoder to initialize.
        cache_dir: Cache folder; None for `KE2NT_CACHE` or the platform's.

    Raises:
        ModelError: The encoder is not `dlib_resnet`.
        MissingExtraError: The package is not installed.
        CheckpointError: Its file is not the known one, or the converted file is damaged.
    """
    if backbone != "dlib_resnet":
        raise ModelError(
            "the face weights are those of another backbone",
            expected="model.backbone=dlib_resnet, for model.weights=faces",
            found=backbone,
        )
    path = _find_or_convert(cache_dir)
    read_converted(path)
    return path


def converted_file(cache_dir: str | Path | None = None) -> Path:
    """Where the converted weights are, or will be."""
    return cache_folder(cache_dir) / _CONVERTED


def convert_face_weights(cache_dir: str | Path | None = None) -> Path:
    """Convert dlib's file to safetensors in the cache, with batch statistics of drawn faces.

    Returns:
        The file.

    Raises:
        MissingExtraError, CheckpointError: As for `face_weights`.
    """
    source = dlib_package_file()
    if source is None:
        raise MissingExtraError(
            "face-recognition-models", extra="faces", purpose="dlib's face weights"
        )
    digest = digest_file(source) if source.is_file() else "no such file"
    if digest != _SHA256:
        raise CheckpointError(
            "dlib's face weights have an unexpected digest",
            expected=_SHA256,
            found=digest,
            where=source,
        )

    net = unfold_affine_layers(read_dlib_face(source), _normalize(_drawn_faces()))
    from safetensors.torch import save

    path = converted_file(cache_dir)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, save(net.state_dict(), {"source": _FILE, "sha256": _SHA256}))
    return path


def read_converted(path: Path) -> DlibResNet:
    """Build dlib's network, with its descriptor (B, 128), from the converted weights.

    Raises:
        CheckpointError: The file is damaged.
    """
    net = DlibResNet(descriptor=True)
    try:
        net.load_state_dict(read_safetensors(path))
    except (CheckpointError, RuntimeError) as error:
        raise CheckpointError(
            "the converted face weights are damaged",
            where=path,
            hint="To convert them again, type: ke2nt cache faces",
        ) from error
    return net.eval()


@torch.inference_mode()
def dlib_face_descriptors(images: np.ndarray | Tensor) -> Tensor:
    """dlib's descriptors of aligned faces: those of one person are less than 0.6 apart.

    Args:
        images: (N, 150, 150, 3) uint8, RGB.

    Returns:
        (N, 128) float32.

    Raises:
        ModelError: The images have another shape or type.
        MissingExtraError, CheckpointError: As for `face_weights`.
    """
    pixels = torch.as_tensor(images)
    if pixels.dtype != torch.uint8 or pixels.shape[1:] != (_SIDE, _SIDE, 3):
        raise ModelError(
            "the images are not faces for dlib's descriptor",
            expected=f"uint8 of shape (N, {_SIDE}, {_SIDE}, 3)",
            found=f"{pixels.dtype} of shape {tuple(pixels.shape)}",
        )
    net = load_face_network()
    batches = [net(_normalize(part)) for part in pixels.split(_BATCH)]
    return torch.cat(batches) if batches else torch.empty(0, 128)


def load_face_network() -> DlibResNet:
    """dlib's network with its descriptor (B, 128), in evaluation mode; do not change it.

    Raises:
        MissingExtraError, CheckpointError: As for `face_weights`.
    """
    return _load(_find_or_convert())


_load = functools.lru_cache(maxsize=1)(read_converted)


def _find_or_convert(cache_dir: str | Path | None = None) -> Path:
    path = converted_file(cache_dir)
    return path if path.is_file() else convert_face_weights(cache_dir)


def _normalize(pixels: Tensor) -> Tensor:
    """uint8 (B, H, W, 3) → (B, 3, H, W)."""
    images = pixels.permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in (DLIB_MEAN, DLIB_STD))
    return (images - mean) / std


def _drawn_faces() -> Tensor:
    """uint8 (B, 150, 150, 3) faces of many people, the same on every machine."""
    from ke2nt.drawn.dataset import DrawnFaces

    faces = DrawnFaces(_FACES, size=_SIDE, identities=_FACES)
    return torch.from_numpy(np.stack([face.image for face in faces.render(range(_FACES))]))
