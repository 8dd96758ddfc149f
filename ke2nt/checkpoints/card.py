"""The model card: README.md of a model folder, made from its config.json alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from ke2nt._version import __version__
from ke2nt.checkpoints.card_facts import DATASETS

__all__ = ["model_card"]

_LOW_RECALL = 0.5
_FEW = 50
_PROMPTS = 3
_CALIBRATION_FIGURES = frozenset(
    {"n", "folds", "ece_before", "ece_after", "nll_before", "nll_after"}
)

_USES = """\
**Meant for** research on facial expressions, and for software in which people choose to have the
expression on their own faces read and can see and correct the result.

**Not meant for** surveillance or identification, hiring or school admission, judging workers,
pupils or customers, medical or psychological diagnosis, lie detection, police work or border
control, or any decision about a person. The label names what a face looks like to annotators. An
expression is not an emotion: people smile without joy, and feel without showing it.
"""
_LIMITS = """\
- It knows single, roughly frontal, cropped faces. Masks, strong side views, small or dark faces
  and faces of children lower its accuracy.
- Who is in the training images is not documented. Expect other error rates for other ages, skin
  tones, genders and cultures, and measure them on the people you mean to serve.
- It was scored on images of one dataset; on other cameras and in other places it will do worse.
"""


def model_card(config: Mapping[str, Any]) -> str:
    """Markdown with YAML front matter, as model hubs read it.

    Args:
        config: Content of the folder's config.json: classes, architecture, preprocessing,
            provenance, calibration, and under "card" what is known of data and figures.
    """
    card = config.get("card") or {}
    front = yaml.safe_dump(_front(config, card), sort_keys=False, allow_unicode=True)
    parts = [f"---\n{front}---\n", f"# {_title(config, card)}\n", *_sections(config, card)]
    return "\n".join(parts)


def _title(config: Mapping[str, Any], card: Mapping[str, Any]) -> str:
    backbone = config["architecture"].get("backbone", "?")
    head = "KE2NT" if config["architecture"].get("head") == "text" else "Linear head"
    return " ".join(str(card.get("name") or f"{head} with {backbone}").split())


def _front(config: Mapping[str, Any], card: Mapping[str, Any]) -> dict[str, Any]:
    data = DATASETS.get((card.get("data") or {}).get("name", ""))
    front: dict[str, Any] = {
        "library_name": "ke2nt",
        "pipeline_tag": "image-classification",
        "tags": ["facial-expression-recognition", "ke2nt"],
    }
    if data is not None:
        front["license"] = "mit" if data.free else "other"
        if not data.free:
            front["license_name"] = "research-data"
    results = [
        {
            "task": {"type": "image-classification", "name": "facial expression recognition"},
            "dataset": {"name": _data_line(e), "type": e["dataset"], "split": e["split"]},
            "metrics": [
                {"type": name, "name": title, "value": round(e[key], 4)}
                for key, name, title in (
                    ("accuracy", "accuracy", "accuracy (WAR)"),
                    ("uar", "recall", "mean class recall (UAR)"),
                    ("macro_f1", "f1", "macro-F1"),
                )
            ],
        }
        for e in card.get("evaluations") or ()
    ]
    if results:
        front["model-index"] = [{"name": _title(config, card), "results": results}]
    return front


def _sections(config: Mapping[str, Any], card: Mapping[str, Any]) -> Iterator[str]:
    yield _summary(config)
    yield f"## Uses\n\n{_USES}"
    yield _data(card)
    for evaluation in card.get("evaluations") or ():
        yield _figures(evaluation, config.get("calibration"))
    yield _calibration(config.get("calibration"))
    yield f"## Limits\n\n{_drawn(card)}{_LIMITS}{_weak_classes(card)}"
    yield _recipe(config, card)


def _summary(config: Mapping[str, Any]) -> str:
    architecture, pre = config["architecture"], config["preprocessing"]
    size = pre["image_size"]
    how = (
        "by matching the image with text embeddings of the classes "
        "(KE2NT, [arXiv 2409.08598](https://arxiv.org/abs/2409.08598))"
        if architecture.get("head") == "text"
        else "with a linear head"
    )
    prompts = config.get("prompts") or {}
    lines = [
        f"Tells which of {len(config['classes'])} expressions a cropped face shows, {how}.\n",
        f"- **Classes**, in index order: {', '.join(config['classes'])}",
        f"- **Image encoder**: {architecture.get('backbone')}, input {size} × {size} px RGB"
        + (", color removed" if pre.get("gray") else ""),
        f"- **Weights**: {config.get('dtype', 'float32')}, safetensors",
    ]
    for name, texts in prompts.items():
        more = f"; and {len(texts) - _PROMPTS} more" if len(texts) > _PROMPTS else ""
        lines.append(f"- **Prompts** of {name}: {'; '.join(texts[:_PROMPTS])}{more}")
    name = (config.get("card") or {}).get("name") or "FOLDER"
    code = (
        f"```bash\nke2nt predict photo.jpg --model {name}\n```\n\n"
        "```python\nfrom ke2nt.predict.recognizer import Recognizer\n\n"
        f'recognizer = Recognizer.from_pretrained("{name}")\n'
        'print(recognizer.predict("photo.jpg").to_dataframe())\n```\n'
    )
    return "\n".join(lines) + "\n\n" + code


def _data(card: Mapping[str, Any]) -> str:
    data = card.get("data")
    if not data:
        return "## Training data\n\nNot recorded.\n"
    known = DATASETS.get(data["name"])
    samples = data.get("samples") or {}
    lines = [
        f"- **Dataset**: {known.title if known else data['name']}{_options(data.get('options'))}",
        f"- **Images**: {samples.get('train', '?')} for training, "
        f"{samples.get('val', '?')} for choosing the epoch",
    ]
    if known:
        lines += [f"- **Content**: {known.content}", f"- **License of the data**: {known.license}"]
    else:
        lines.append("- **License of the data**: ask whoever supplied it; it is not known here")
    if adapted := card.get("adapted"):
        lines.append(
            f"- **Adapted** to {adapted['images']} images of {adapted['dataset']} "
            f"{adapted['split']}, method {adapted['method']}, without their labels"
        )
    return "## Training data\n\n" + "\n".join(lines) + "\n"


def _row(title: str, value: float | None, interval: Sequence[float] | None, *more: object) -> str:
    low_high = f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}" if interval else "–"
    shown = "–" if value is None else f"{100 * value:.1f}"
    return "| " + " | ".join(map(str, (title, *more, shown, low_high))) + " |"


def _figures(e: Mapping[str, Any], calibration: Mapping[str, Any] | None) -> str:
    text = [
        f"## Figures: {_data_line(e)}\n",
        f"{e['n']:,} images"
        + (", each averaged with its mirror image" if e.get("flip_tta") else "")
        + ". Intervals are 95 % bootstrap intervals over the images.\n",
        "| figure | % | 95 % interval |",
        "|---|---:|---:|",
        _row("accuracy (WAR)", e["accuracy"], e["intervals"].get("accuracy")),
        _row("mean class recall (UAR)", e["uar"], e["intervals"].get("uar")),
        _row("macro-F1", e["macro_f1"], e["intervals"].get("macro_f1")),
        "\n| class | images | recall % | 95 % interval |",
        "|---|---:|---:|---:|",
        *(_row(c["name"], c["recall"], c["recall_interval"], c["support"]) for c in e["per_class"]),
    ]
    notes = list(e.get("notes") or ())
    if calibration and calibration["method"] == "vector" and not e.get("calibrated"):
        notes.append("These figures were taken before vector scaling, which may change answers.")
    return "\n".join(text + [f"\n{note}" for note in notes]) + "\n"


def _calibration(value: Mapping[str, Any] | None) -> str:
    if not value:
        return "## Calibration\n\nNone: take the probabilities as scores, not as chances.\n"
    on, f = value.get("fitted_on") or {}, value.get("figures") or {}
    how = (
        f"Temperature scaling, T = {value['temperature']:.4g}"
        if value["method"] == "temperature"
        else "Vector scaling"
    )
    lines = [f"{how}, fitted on {_data_line(on)}." if on.get("dataset") else f"{how}."]
    if value.get("transferred"):
        lines.append("The class texts have changed since: it is only a guess for these.")
    elif f.keys() >= _CALIBRATION_FIGURES:
        lines.append(
            f"Expected calibration error {f['ece_before']:.4f} before, {f['ece_after']:.4f} after; "
            f"log-loss {f['nll_before']:.4f} before, {f['nll_after']:.4f} after ({f['n']:,} "
            f"images; after: cross-fitted in {f['folds']} folds)."
        )
    if value.get("min_confidence") is not None:
        t = value.get("threshold") or {}
        wrong = t.get("risk")
        lines.append(
            f"Answers below {value['min_confidence']:.3f} should be withheld: "
            f"{100 * t.get('coverage', 1):.1f} % of the faces were answered there"
            + (f", {100 * wrong:.1f} % of them wrongly." if wrong is not None else ".")
        )
    return "## Calibration\n\n" + " ".join(lines) + "\n"


def _drawn(card: Mapping[str, Any]) -> str:
    if (card.get("data") or {}).get("name") != "drawn" or card.get("adapted"):
        return ""
    return "- It has seen drawn faces alone and is of no use on photographs.\n"


def _weak_classes(card: Mapping[str, Any]) -> str:
    weak = {
        c["name"]: f"{c['name']} (recall {100 * c['recall']:.0f} %, {c['support']} images)"
        for e in card.get("evaluations") or ()
        for c in e["per_class"]
        if c["recall"] is not None and (c["recall"] < _LOW_RECALL or c["support"] < _FEW)
    }
    return f"- Weak, or scored on few images: {'; '.join(weak.values())}.\n" if weak else ""


def _recipe(config: Mapping[str, Any], card: Mapping[str, Any]) -> str:
    made = config.get("provenance") or {}
    versions, machine = made.get("versions") or {}, made.get("machine") or {}
    facts = {
        "seed": card.get("seed", made.get("seed")),
        "kept epoch": made.get("epoch"),
        "initial weights": (made.get("initial_weights") or {}).get("source"),
        "ke2nt": versions.get("ke2nt", __version__),
        "revision": made.get("revision"),
        "torch": versions.get("torch"),
        "machine": machine.get("accelerator") or machine.get("processor"),
    }
    text = ["## Recipe\n"]
    text += [f"- **{name}**: {value}" for name, value in facts.items() if value is not None]
    if card.get("command"):
        text.append(f"\nMade with `{card['command']}`.")
    if card.get("config"):
        body = yaml.safe_dump(card["config"], sort_keys=False, allow_unicode=True)
        text += [
            "\nTo make it again, save this as config.yaml:\n",
            f"```yaml\n{body}```\n",
            f"```bash\nke2nt train config.yaml{_root(card, 'data.root=')} --out runs/again\n"
            + _calibrate_line(config.get("calibration"), _root(card, "--root "))
            + "```",
        ]
    return "\n".join(text) + "\n"


def _root(card: Mapping[str, Any], option: str) -> str:
    """Drawn faces have no folder."""
    return "" if _drawn(card) else f" {option}DIR"


def _calibrate_line(value: Mapping[str, Any] | None, root: str) -> str:
    on = (value or {}).get("fitted_on") or {}
    if not value or not on.get("dataset"):
        return ""
    options = "".join(f" --option {k}={v}" for k, v in (on.get("options") or {}).items())
    threshold = value.get("threshold") or {}
    flags = {"risk": "--max-risk", "coverage": "--coverage", "confidence": "--min-confidence"}
    chosen = f" {flags[threshold['target']]} {threshold['value']}" if threshold else ""
    return (
        f"ke2nt calibrate runs/again --dataset {on['dataset']}{root} "
        f"--split {on['split']}{options} --method {value['method']}{chosen}\n"
    )


def _data_line(facts: Mapping[str, Any]) -> str:
    return f"{facts['dataset']} {facts['split']}{_options(facts.get('options'))}"


def _options(options: Mapping[str, Any] | None) -> str:
    return f" ({', '.join(f'{k} {v}' for k, v in options.items())})" if options else ""
