"""Problems of an installation, a model or a dataset, and how to fix them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ke2nt.doctor.detectors import check_detectors
from ke2nt.doctor.findings import Finding, run_check
from ke2nt.doctor.installation import check_installation
from ke2nt.doctor.model_and_data import check_dataset, check_model

__all__ = ["examine"]


def examine(
    model: str | None = None,
    dataset: str | None = None,
    root: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
) -> list[Finding]:
    """Check the installation, and a model and a dataset if they are named.

    Args:
        model: A run directory, a model's folder, a model of the package or a hub id.
        dataset: Name of a dataset, as for `get_reader`.
        root: The dataset's folder.
        options: Options of its reader.
    """
    findings = [*check_installation(), *check_detectors()]
    if model is not None:
        fix = "ke2nt doctor ke2nt/ferplus-faces"
        findings += run_check("model", model, partial(check_model, model), fix=fix)
    if dataset is not None:
        check = partial(check_dataset, dataset, root, options or {})
        findings += run_check("dataset", dataset, check, fix=f"ke2nt data info {dataset} DIR")
    return findings
