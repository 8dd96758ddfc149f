"""Names of backbones, checked without torch."""

from __future__ import annotations

from ke2nt.errors import ModelError
from ke2nt.models.timm_names import is_timm_name, similar_names
from ke2nt.runtime.extensions import has_package, is_dotted_path

__all__ = ["FACE_NETWORKS", "check_backbone_name"]

FACE_NETWORKS = ("dlib_resnet", "iresnet18", "iresnet34", "iresnet50", "iresnet100", "iresnet200")
"""Networks of face recognition that timm does not have."""


def check_backbone_name(name: str) -> None:
    """Check a backbone's name without importing timm or the package of a dotted path.

    Raises:
        ModelError: There is no such timm model, and no package of a dotted path.
    """
    if is_timm_name(name) or name in FACE_NETWORKS or (is_dotted_path(name) and has_package(name)):
        return
    similar = similar_names(name, more=FACE_NETWORKS)
    raise ModelError(
        f"unknown backbone {name!r}",
        expected="the name of a timm model, or package.module.Net",
        hint=f"Did you mean {', '.join(similar)}?" if similar else None,
    )
