"""Adaptation methods and their parts by name.

A new built-in part is a class in this folder, a line in `PARTS`, a line in `METHODS` where it is a
method by itself, and its names in `ke2nt/config/adapt.py`. A part of another package is named by
its dotted path and needs no change here.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from ke2nt.adapt.adversarial import AdversarialPart, ConditionalPart
from ke2nt.adapt.metric_part import MetricPart
from ke2nt.adapt.moment_matching import CoralPart, MmdPart
from ke2nt.adapt.part import AdaptationPart
from ke2nt.adapt.pseudo_labels import PseudoPart, TextPart
from ke2nt.config.adapt import AdaptSection
from ke2nt.runtime.extensions import is_dotted_path, load_class

__all__ = ["METHODS", "PARTS", "resolve_part_classes", "resolve_part_weights"]

PARTS: Mapping[str, type[AdaptationPart]] = {
    "metric": MetricPart,
    "adversarial": AdversarialPart,
    "conditional": ConditionalPart,
    "coral": CoralPart,
    "mmd": MmdPart,
    "pseudo": PseudoPart,
    "text": TextPart,
}

# Method → weight of each part. The weights of DMSRL are the published ones (IEEE TMM 25:1359).
METHODS: Mapping[str, Mapping[str, float]] = {
    "source": {},
    "dann": {"adversarial": 1.0},
    "cdan": {"conditional": 1.0},
    "coral": {"coral": 1.0},
    "mmd": {"mmd": 1.0},
    "pseudo": {"pseudo": 1.0},
    "dmsrl": {"metric": 0.01, "adversarial": 0.01},
    "shares": {},
}


def resolve_part_weights(config: AdaptSection) -> dict[str, float]:
    """Return the weight of every part in use; a dotted path as method is a part of weight 1."""
    if is_dotted_path(config.method):
        method = {config.method: 1.0}
    else:
        method = dict(METHODS[config.method])

    # weights of the configuration replace those of the method; a part of weight 0 is not built
    weights = {**method, **config.weights}
    return {name: weight for name, weight in weights.items() if weight}


def resolve_part_classes(config: AdaptSection) -> dict[str, type[nn.Module]]:
    """Return the class of every part in use; parts of other packages are imported.

    Raises:
        ConfigError: A dotted path cannot be imported, or does not name a module class.
    """
    return {name: _find_class(name) for name in resolve_part_weights(config)}


def _find_class(name: str) -> type[nn.Module]:
    if not is_dotted_path(name):
        return PARTS[name]

    expected = "a subclass of torch.nn.Module or ke2nt.adapt.part.AdaptationPart"
    return load_class(name, nn.Module, kind="adaptation part", expected=expected)
