"""Versions, revision and machine behind a result; written into every run and every bank."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from ke2nt._version import __version__

__all__ = ["machine", "package_versions", "provenance", "revision"]

_PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "open_clip_torch",
    "transformers",
    "numpy",
    "scikit-learn",
    "pillow",
    "safetensors",
)


def package_versions() -> dict[str, str]:
    """Return versions of ke2nt, Python and the packages that affect results, if installed."""
    versions = {"ke2nt": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def revision() -> str | None:
    """Return the git revision of the checkout ("-dirty" if changed), or None outside one."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        out = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return out.stdout.strip() or None


def machine() -> dict[str, Any]:
    """Return processor, cores and accelerator, without the name of the host."""
    import torch

    info: dict[str, Any] = {
        "system": platform.system(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }
    if torch.cuda.is_available():
        info["accelerator"] = torch.cuda.get_device_name(0)
    return info


def provenance() -> dict[str, Any]:
    """Return versions, revision and machine as one JSON value."""
    return {"versions": package_versions(), "revision": revision(), "machine": machine()}
