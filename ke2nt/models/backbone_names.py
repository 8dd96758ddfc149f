"""Names of backbones, checked without torch."""

from __future__ import annotations

from ke2nt.errors import ModelError
from ke2nt.models.timm_names import is_timm_name, similar_names
from ke2nt.runtime.extensions import has_package, is_dotted_path
from ke2nt.vlm.catalog import VISION_LANGUAGE_MODELS
from ke2nt.vlm.source_names import check_source_name

__all__ = ["FACE_NETWORKS", "check_backbone_name", "is_tower_name"]

FACE_NETWORKS = ("dlib_resnet", "iresnet18", "iresnet34", "iresnet50", "iresnet100", "iresnet200")
"""Networks of face recognition that timm does not have."""


def is_tower_name(name: object) -> bool:
    """Whether a backbone names the image tower of a vision-language model."""
    return (
        isinstance(name, str) and name.partition(":")[0] in VISION_LANGUAGE_MODELS and ":" in name
    )


def check_backbone_name(name: str) -> None:
    """Check a backbone's name without importing timm or the package of a dotted path.

    Raises:
        ModelError: There is no such timm model, and no package of a dotted path.
        TextEncoderError: There is no such vision-language model, as far as the name says.
    """
    if is_tower_name(name):
        check_source_name(name)
        return
    if is_timm_name(name) or name in FACE_NETWORKS or (is_dotted_path(name) and has_package(name)):
        return
    similar = similar_names(name, more=FACE_NETWORKS)
    raise ModelError(
        f"unknown backbone {name!r}",
        expected="the name of a timm model, open_clip:ARCH/TAG-or-path, "
        "transformers:ID-or-folder, or package.module.Net",
        hint=f"Did you mean {', '.join(similar)}?" if similar else None,
    )
