"""The report page of a zero-shot evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ke2nt.data.sample import FaceSplit
from ke2nt.data.tensors import FaceTensors
from ke2nt.evaluation.zero_shot import ZeroShot
from ke2nt.pages.evaluation_report import describe_data
from ke2nt.pages.faces import pick_faces
from ke2nt.pages.phrases import describe_generalized
from ke2nt.pages.run_report import PromptMap, RunReport
from ke2nt.runtime.provenance import provenance

__all__ = ["build_zero_shot_report"]

_FACE_SIDE = 112  # px of the faces on the page


def build_zero_shot_report(
    result: ZeroShot,
    split: FaceSplit,
    *,
    model: str,
    options: Mapping[str, Any],
    command: str | None = None,
    warnings: Sequence[str] = (),
) -> RunReport:
    """Build the contents of a page about a zero-shot evaluation.

    Args:
        result: Result of `zero_shot` on `split`.
        split: The images.
        model: Name of the encoder, as it was requested.
        options: Options of the dataset reader, such as {"rule": "majority"}.
        command: The command line.
        warnings: Shown at the top.
    """
    # Only embeddings were kept, so the faces that are shown are read again.
    images = FaceTensors(split, _FACE_SIDE, memory="lazy", workers=0)
    evaluation, generalized = result.evaluation, result.generalized

    return RunReport(
        title=f"{model} on {split.dataset} {split.split}, zero-shot",
        data=describe_data(evaluation, options),
        metrics=evaluation.report,
        labels=evaluation.mapping.describe(),
        faces=pick_faces(evaluation, images),
        failed=evaluation.failed,
        text=PromptMap.from_bank(result.bank),
        # Origin of the page.
        provenance={"evaluation": provenance()},
        command=command,
        warnings=warnings,
        notes=() if generalized is None else (describe_generalized(generalized),),
    )
