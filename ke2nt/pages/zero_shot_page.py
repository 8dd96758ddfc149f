"""The report page of a zero-shot evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ke2nt.data.sample import FaceSplit
from ke2nt.data.tensors import FaceTensors
from ke2nt.evaluation.generalized import GeneralizedMetrics
from ke2nt.evaluation.zero_shot import ZeroShot
from ke2nt.pages.evaluation_report import describe_data
from ke2nt.pages.faces import pick_faces
from ke2nt.pages.run_report import PromptMap, RunReport
from ke2nt.runtime.provenance import provenance

__all__ = ["describe_generalized", "build_zero_shot_report"]

_SHOWN = 112  # side in pixels of the faces on the page


def build_zero_shot_report(
    result: ZeroShot,
    split: FaceSplit,
    *,
    model: str,
    options: Mapping[str, Any],
    command: str | None = None,
    warnings: Sequence[str] = (),
) -> RunReport:
    """What a page on a zero-shot evaluation shows.

    Args:
        result: Result of `zero_shot` on `split`.
        split: The images.
        model: The encoder, as it was asked for.
        options: Options of the dataset reader, such as {"rule": "majority"}.
        command: What was typed.
        warnings: Shown at the top.
    """
    evaluation = result.evaluation
    images = FaceTensors(split, _SHOWN, memory="lazy", workers=0)
    metrics = result.generalized
    return RunReport(
        title=f"{model} on {split.dataset} {split.split}, zero-shot",
        data=describe_data(evaluation, options),
        metrics=evaluation.report,
        labels=evaluation.mapping.describe(),
        faces=pick_faces(evaluation, images),
        failed=evaluation.failed,
        text=PromptMap.from_bank(result.bank),
        provenance={"evaluation": provenance()},
        command=command,
        warnings=warnings,
        notes=() if metrics is None else (describe_generalized(metrics),),
    )


def describe_generalized(metrics: GeneralizedMetrics) -> str:
    """Seen, unseen and harmonic mean in one sentence."""
    seen, unseen, harmonic = metrics.seen, metrics.unseen, metrics.harmonic
    return (
        f"Trained on {', '.join(metrics.seen_classes)}; never on "
        f"{', '.join(metrics.unseen_classes)}. With all of them as possible answers, mean class "
        f"recall is {100 * seen.recall:.1f} % over the classes seen in training and "
        f"{100 * unseen.recall:.1f} % over the unseen ones (harmonic mean "
        f"{100 * harmonic.recall:.1f} %); accuracy is {100 * seen.accuracy:.1f} % and "
        f"{100 * unseen.accuracy:.1f} % (harmonic mean {100 * harmonic.accuracy:.1f} %)."
    )
