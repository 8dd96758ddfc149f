"""From the name of initial weights to their file, without torch."""

from __future__ import annotations

from pathlib import Path

from ke2nt.checkpoints.imagenet import imagenet_weights
from ke2nt.errors import CheckpointError
from ke2nt.runtime.file_content import check_content
from ke2nt.runtime.suggest import did_you_mean

__all__ = ["NAMED_WEIGHTS", "find_initial_weights"]

NAMED_WEIGHTS = ("timm", "imagenet", "faces")
"""Initial weights by name: of timm's hub, and of the extras `imagenet` and `faces`."""


def find_initial_weights(weights: str | Path, backbone: object) -> Path:
    """Find the file of initial weights.

    Args:
        weights: "imagenet", or the path of a local file.
        backbone: Name of the image encoder to initialize.

    Raises:
        CheckpointError: There is no such file, or it is known not to hold weights.
        ModelError: The `imagenet` extra has no weights for this encoder.
        MissingExtraError: The `imagenet` extra is not installed.
    """
    path = imagenet_weights(backbone) if weights == "imagenet" else Path(weights).expanduser()
    if not path.is_file():
        raise CheckpointError(
            "no such initial weights",
            expected="timm, imagenet, faces, or a .safetensors or .pth file",
            found=weights,
            hint=did_you_mean(str(weights), NAMED_WEIGHTS),
        )
    check_content(path)
    return path
