"""The model card: README.md of a model folder, made from its config.json alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from ke2nt.checkpoints.card_recipe import recipe_section
from ke2nt.checkpoints.card_sections import (
    calibration_section,
    data_section,
    describe_data,
    familiarity_section,
    limits_section,
    metrics_section,
    training_datasets,
)
from ke2nt.checkpoints.dataset_facts import DATASETS

__all__ = ["model_card"]

_PROMPTS = 3
_HUB_METRICS = (
    ("accuracy", "accuracy", "accuracy (WAR)"),
    ("uar", "recall", "mean class recall (UAR)"),
    ("macro_f1", "f1", "macro-F1"),
)
_USES = """\
## Uses

**Intended for** research on facial expressions, and for software in which people choose to have
their own expression recognized, and can see and correct the result.

**Not intended for** surveillance or identification, hiring or school admission, judging workers,
pupils or customers, medical or psychological diagnosis, lie detection, police work or border
control, or any decision about a person. A label says how a face looks to annotators. An expression
is not an emotion: people smile without joy, and feel without showing it.
"""


def model_card(config: Mapping[str, Any]) -> str:
    """Write the card as Markdown with the YAML front matter that model hubs read.

    Args:
        config: Content of the folder's config.json: classes, architecture, preprocessing,
            provenance, calibration, and under "card" the facts about data and metrics.
    """
    card = config.get("card") or {}
    title = _title(config, card)
    front = yaml.safe_dump(_front_matter(card, title), sort_keys=False, allow_unicode=True)
    return "\n".join([f"---\n{front}---\n", f"# {title}\n", *_sections(config, card)])


def _title(config: Mapping[str, Any], card: Mapping[str, Any]) -> str:
    """The model's name on one line."""
    backbone = config["architecture"].get("backbone", "?")
    head = "KE2NT" if config["architecture"].get("head") == "text" else "Linear head"
    return " ".join(str(card.get("name") or f"{head} with {backbone}").split())


def _front_matter(card: Mapping[str, Any], title: str) -> dict[str, Any]:
    front: dict[str, Any] = {
        "library_name": "ke2nt",
        "pipeline_tag": "image-classification",
        "tags": ["facial-expression-recognition", "ke2nt"],
    }

    # the license of the model is that of its training data, also of the model it started from
    data = [DATASETS[name] for name in sorted(training_datasets(card)) if name in DATASETS]
    if data:
        free = all(facts.free for facts in data)
        front["license"] = "mit" if free else "other"
        if not free:
            front["license_name"] = "research-data"

    # hubs list these results next to those of other models
    results = [_hub_result(evaluation) for evaluation in card.get("evaluations") or ()]
    if results:
        front["model-index"] = [{"name": title, "results": results}]
    return front


def _hub_result(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """An evaluation in the form of the hub's leaderboards."""
    return {
        "task": {"type": "image-classification", "name": "facial expression recognition"},
        "dataset": {
            "name": describe_data(evaluation),
            "type": evaluation["dataset"],
            "split": evaluation["split"],
        },
        "metrics": [
            {"type": kind, "name": name, "value": round(evaluation[key], 4)}
            for key, kind, name in _HUB_METRICS
        ],
    }


def _sections(config: Mapping[str, Any], card: Mapping[str, Any]) -> Iterator[str]:
    calibration = config.get("calibration")
    yield _summary(config, card)
    yield _USES
    yield data_section(card)
    for evaluation in card.get("evaluations") or ():
        yield metrics_section(evaluation, calibration)
    yield calibration_section(calibration)
    if section := familiarity_section(config.get("familiarity")):
        yield section
    yield limits_section(card)
    yield recipe_section(config, card)


def _summary(config: Mapping[str, Any], card: Mapping[str, Any]) -> str:
    """What the model does, and how to use it."""
    architecture, preprocessing = config["architecture"], config["preprocessing"]
    size = preprocessing["image_size"]
    # models saved before 0.2 spell the key "grey"
    gray = preprocessing.get("gray", preprocessing.get("grey"))

    method = "with a linear head"
    if architecture.get("head") == "text":
        method = (
            "by matching the image with text embeddings of the classes "
            "(KE2NT, [arXiv 2409.08598](https://arxiv.org/abs/2409.08598))"
        )
    lines = [
        f"Recognizes {len(config['classes'])} facial expressions in cropped faces, {method}.\n",
        f"- **Classes**, in index order: {', '.join(config['classes'])}",
        f"- **Image encoder**: {architecture.get('backbone')}, input {size} × {size} px RGB"
        + (", color removed" if gray else ""),
        f"- **Weights**: {config.get('dtype', 'float32')}, safetensors",
    ]
    if adapter := architecture.get("adapter"):
        lines.append(f"- **Adapter**: {adapter['kind']}, fitted on embeddings of few images")
    has_scale = (card.get("predict") or {}).get("intensity") is not None
    if card.get("intensity_note") and not has_scale:
        lines.append(f"- **Intensity**: {card['intensity_note']}")
    for class_name, prompts in (config.get("prompts") or {}).items():
        hidden = len(prompts) - _PROMPTS
        rest = f"; and {hidden} more" if hidden > 0 else ""
        lines.append(f"- **Prompts** of {class_name}: {'; '.join(prompts[:_PROMPTS])}{rest}")

    name = card.get("name") or "FOLDER"
    code = (
        "```bash\npip install 'ke2nt[predict]'\n"
        f"ke2nt predict photo.jpg --model {name}\n```\n\n"
        "```python\nfrom ke2nt import Recognizer\n\n"
        f'recognizer = Recognizer.from_pretrained("{name}")\n'
        'for face in recognizer.predict("photo.jpg"):\n'
        "    print(face.label, face.confidence)\n```\n"
    )
    return "\n".join(lines) + "\n\n" + code
