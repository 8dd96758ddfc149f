"""Sections of a model card: training data, metrics, calibration, limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ke2nt.checkpoints.dataset_facts import DATASETS
from ke2nt.runtime.formatting import percent, percent_cell

__all__ = [
    "calibration_section",
    "data_section",
    "describe_data",
    "familiarity_section",
    "is_drawn",
    "limits_section",
    "metrics_section",
    "training_datasets",
]

_LOW_RECALL = 0.5
_FEW = 50
_CALIBRATION_METRICS = frozenset(
    {"n", "folds", "ece_before", "ece_after", "nll_before", "nll_after"}
)
_LIMITS = """\
- It is made for single, roughly frontal, cropped faces. Masks, strong side views, small or dark
  faces, and faces of children lower its accuracy.
- It is not documented who is in the training images. Expect other error rates for other ages, skin
  tones, genders and cultures, and measure them on the people you intend to serve.
- It was evaluated on images of one dataset; with other cameras and in other places it will perform
  worse.
"""


def describe_data(facts: Mapping[str, Any]) -> str:
    """Name dataset, split and reader options: "ferplus val (rule majority)"."""
    return f"{facts['dataset']} {facts['split']}{_describe_options(facts.get('options'))}"


def is_drawn(card: Mapping[str, Any]) -> bool:
    """Whether the model has only been trained on drawn faces."""
    return training_datasets(card) == {"drawn"} and not card.get("adapted")


def training_datasets(card: Mapping[str, Any]) -> set[str]:
    """Names of the datasets that the model and those that it was started from were trained on."""
    names = [(card.get("data") or {}).get("name")]
    for key in ("started_from", "blended"):
        names += (card.get(key) or {}).get("data") or []
    return {str(name) for name in names if name}


def data_section(card: Mapping[str, Any]) -> str:
    """What the model was trained on."""
    data = card.get("data")
    if not data and (zero_shot := card.get("zero_shot")):
        return _describe_zero_shot(zero_shot)
    if not data:
        return "## Training data\n\nNot recorded.\n"

    # only the name of a user's dataset is known
    facts = DATASETS.get(data["name"])
    samples = data.get("samples") or {}
    options = _describe_options(data.get("options"))
    lines = [
        f"- **Dataset**: {facts.title if facts else data['name']}{options}",
        f"- **Images**: {samples.get('train', '?')} for training, "
        f"{samples.get('val', '?')} for choosing the {data.get('chosen', 'epoch')}",
    ]
    if facts:
        lines += [f"- **Content**: {facts.content}", f"- **License of the data**: {facts.license}"]
    else:
        lines.append("- **License of the data**: unknown; ask whoever supplied it")

    if (prior := card.get("class_prior")) and prior.keys() >= {"data", "logits"}:
        lines.append(f"- **Class shares**: {_join_shares(prior['data'])}")
        if prior["logits"] != prior["data"]:
            lines.append(
                f"- **Class shares that the logits carry**: {_join_shares(prior['logits'])}"
            )
    lines += _describe_start(card.get("started_from"))
    if first := card.get("first_weights"):
        lines.append(f"- **First weights**: {'; '.join(map(str, first))}")
    lines += _describe_blend(card.get("blended"))
    if teacher := card.get("teacher"):
        lines.append(f"- **Distilled** from {teacher.get('model', '?')}")
    if adapted := card.get("adapted"):
        lines.append(
            f"- **Adapted** to {adapted['images']} images of {adapted['dataset']} "
            f"{adapted['split']} with the method {adapted['method']}, without their labels"
        )
    return "## Training data\n\n" + "\n".join(lines) + "\n"


def _describe_blend(blended: Mapping[str, Any] | None) -> list[str]:
    """Which models the weights are an average of, and how it was chosen."""
    if not blended:
        return []

    # models without a share have no weight in the average
    models = ", ".join(
        f"{each['share']:.3g} of {each['model']} (SHA-256 {each['sha256'][:12]})"
        for each in blended["models"]
        if each["share"]
    )

    line = f"- **Average of weights** ({blended['method']}): {models}"
    if choice := blended.get("choice"):
        line += (
            f"; chosen by {choice['metric']} on {choice['images']:,} images of "
            f"{choice['dataset']} {choice['split']}"
        )
    if blended.get("batch_norm") == "recompute":
        line += "; statistics of batch normalization measured on these images"
    return [line]


def metrics_section(evaluation: Mapping[str, Any], calibration: Mapping[str, Any] | None) -> str:
    """Metrics of one evaluation, overall and for each class."""
    # overall
    intervals = evaluation["intervals"]
    averaged = ", each averaged with its mirror image" if evaluation.get("flip_tta") else ""
    lines = [
        f"## Metrics: {describe_data(evaluation)}\n",
        f"{evaluation['n']:,} images{averaged}. Intervals are 95 % bootstrap intervals over the "
        "images.\n",
        "| metric | % | 95 % interval |",
        "|---|---:|---:|",
        _row("accuracy (WAR)", evaluation["accuracy"], intervals.get("accuracy")),
        _row("mean class recall (UAR)", evaluation["uar"], intervals.get("uar")),
        _row("macro-F1", evaluation["macro_f1"], intervals.get("macro_f1")),
        "\n| class | images | recall % | 95 % interval |",
        "|---|---:|---:|---:|",
    ]

    # each class: the mean hides a class that the model never recognizes
    for row in evaluation["per_class"]:
        lines.append(_row(row["name"], row["recall"], row["recall_interval"], row["support"]))

    lines += [f"\n{note}" for note in evaluation.get("notes") or ()]
    if calibration and not evaluation.get("calibrated"):
        # a temperature alone changes no prediction
        changes = ["vector scaling"] if calibration["method"] == "vector" else []
        changes += ["the class prior"] if calibration.get("offsets") else []
        if changes:
            lines.append(
                f"\nThese metrics were measured before {' and '.join(changes)}, which may change "
                "predictions."
            )
    return "\n".join(lines) + "\n"


def calibration_section(calibration: Mapping[str, Any] | None) -> str:
    """How the probabilities were calibrated, and the confidence threshold."""
    if not calibration:
        return "## Calibration\n\nNone: treat the probabilities as scores only.\n"

    # method and data
    fitted_on, metrics = calibration.get("fitted_on") or {}, calibration.get("figures") or {}
    method = "Vector scaling"
    if calibration["method"] == "temperature":
        method = f"Temperature scaling, T = {calibration['temperature']:.4g}"
    origin = f", fitted on {describe_data(fitted_on)}" if fitted_on.get("dataset") else ""
    sentences = [f"{method}{origin}."]

    # its effect, measured with the texts that it was fitted for
    if calibration.get("transferred"):
        sentences.append("The class texts have changed since, so it is only approximate for them.")
    elif metrics.keys() >= _CALIBRATION_METRICS:
        sentences.append(
            f"Expected calibration error {metrics['ece_before']:.4f} before, "
            f"{metrics['ece_after']:.4f} after; log-loss {metrics['nll_before']:.4f} before, "
            f"{metrics['nll_after']:.4f} after ({metrics['n']:,} images; after: cross-fitted in "
            f"{metrics['folds']} folds)."
        )
        if "degraded_ece_before" in metrics:
            sentences.append(_describe_degraded(calibration, metrics))
    if prior := calibration.get("prior"):
        sentences.append(f"Probabilities assume the class shares {_join_shares(prior)}.")
    if calibration.get("min_confidence") is not None:
        sentences.append(_describe_threshold(calibration))
    return "## Calibration\n\n" + " ".join(sentences) + "\n"


def familiarity_section(familiarity: Mapping[str, Any] | None) -> str:
    """What the model takes for no face and for an unfamiliar one; empty if it cannot tell."""
    metrics = (familiarity or {}).get("metrics") or {}
    if not metrics.keys() >= {"others", "others_rejected", "faces_rejected", "faces_unfamiliar"}:
        return ""
    assert familiarity is not None
    return (
        "## What is no face\n\n"
        f"Fitted on {describe_data(familiarity['fitted_on'])} and {metrics['others']:,} drawn "
        f"backgrounds and parts of faces, of which {percent(metrics['others_rejected'])} are taken "
        f"for no face, as are {percent(metrics['faces_rejected'])} of the faces; "
        f"{percent(metrics['faces_unfamiliar'])} of the faces are flagged as unfamiliar "
        "(cross-fitted).\n"
    )


def limits_section(card: Mapping[str, Any]) -> str:
    """Where the model fails, with the classes it recognizes badly."""
    drawn = ""
    if is_drawn(card):
        drawn = "- It was trained on drawn faces only and does not work on photographs.\n"

    # a class that is weak in several evaluations is named once
    weak: dict[str, str] = {}
    for evaluation in card.get("evaluations") or ():
        for row in evaluation["per_class"]:
            recall, support = row["recall"], row["support"]
            if recall is not None and (recall < _LOW_RECALL or support < _FEW):
                described = f"{row['name']} (recall {percent(recall, 0)}, {support} images)"
                weak[row["name"]] = described
    weak_classes = ""
    if weak:
        weak_classes = f"- Weak, or evaluated on few images: {'; '.join(weak.values())}.\n"
    return f"## Limits\n\n{drawn}{_LIMITS}{weak_classes}"


def _describe_zero_shot(facts: Mapping[str, Any]) -> str:
    """A model that nobody trained on faces with labels."""
    return (
        "## Training data\n\n"
        "No labeled faces: this is a **zero-shot** recognizer. Its image encoder is that of "
        f"{facts.get('encoder')}, unchanged (SHA-256 of its weights: {facts.get('sha256')}), and "
        f"its classes are the words of the prompt set {facts.get('prompts')}. Data and license of "
        "the weights are those of whoever published them. The network M has not been trained, so "
        "neutral embeddings have no meaning; logits, probabilities and intensities do not use "
        "them.\n"
    )


def _describe_start(start: Mapping[str, Any] | None) -> list[str]:
    """The model that the training started from, whose data and license count, too."""
    if not start:
        return []
    digest = f" (SHA-256 of its weights: {start['sha256']})" if start.get("sha256") else ""
    lines = [f"- **Started from** {start.get('model')}{digest}"]
    splits = start.get("train_splits") or {}
    for name in start.get("data") or ():
        facts = DATASETS.get(name)
        title = facts.title if facts else name
        if name in splits:
            lines.append(f"- **Training images of that model**: {title}, split {splits[name]}")
        terms = facts.license if facts else "unknown; ask whoever supplied it"
        lines.append(f"- **License of the data of that model** ({title}): {terms}")
    return lines


def _row(name: str, value: float | None, interval: Sequence[float] | None, *cells: object) -> str:
    """A table row: name, further cells, value and interval in percent."""
    columns = (name, *cells, percent_cell(value), percent_cell(interval or None))
    return "| " + " | ".join(map(str, columns)) + " |"


def _describe_degraded(calibration: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """What the fit to degraded copies of the images does."""
    text = (
        "The fit weighs degraded copies of the images as much as the images; on the copies, the "
        f"expected calibration error is {metrics['degraded_ece_before']:.4f} before and "
        f"{metrics['degraded_ece_after']:.4f} after."
    )
    images = metrics.get("temperature_images")
    if images is not None and images < min(1, calibration["temperature"]):
        text += (
            f" For the images alone, the best temperature is {images:.4g}; it would make "
            "predictions for worse images too confident."
        )
    return text


def _describe_threshold(calibration: Mapping[str, Any]) -> str:
    threshold = calibration.get("threshold") or {}
    if by_class := threshold.get("by_class"):
        limits = ", ".join(f"{k} {v['min_confidence']:.3f}" for k, v in by_class.items())
        return (
            f"Withhold predictions below the confidence of their class ({limits}): on these images "
            f"{percent(threshold['coverage'])} were answered"
            f"{_describe_risk(threshold.get('risk'))}."
        )
    covered = percent(threshold.get("coverage", 1))
    wrong = _describe_risk(threshold.get("risk"))
    return (
        f"Withhold predictions with a confidence below {calibration['min_confidence']:.3f}: "
        f"on these images {covered} were above it{wrong}."
    )


def _join_shares(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {percent(share)}" for name, share in shares.items())


def _describe_risk(risk: float | None) -> str:
    return "" if risk is None else f"; {percent(risk)} of those were wrong"


def _describe_options(options: Mapping[str, Any] | None) -> str:
    return f" ({', '.join(f'{k} {v}' for k, v in options.items())})" if options else ""
