"""Initial weights from a local file, whatever wrapped or prefixed them, with a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ke2nt.checkpoints.efficientnet_names import timm_efficientnet_names
from ke2nt.checkpoints.tensor_files import read_tensor_groups
from ke2nt.errors import CheckpointError

__all__ = ["WeightReport", "load_initial_weights"]

_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class WeightReport:
    """What was taken from a weights file.

    Attributes:
        source: Wrapping keys that lead to the tensors in the file ("state_dict"), "" for none.
        prefix: Prefix that was stripped from the file's names ("module.backbone."), "" for none.
        matched: Names of the module that were loaded.
        missing: Names of the module that the file lacks; they keep their values.
        unexpected: Names of the file that the module lacks.
        mismatched: Names on both sides whose shapes differ; the module keeps its values.
    """

    source: str
    prefix: str
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[str, ...]

    def summary(self) -> str:
        """One line with the counts."""
        counts = ("matched", "missing", "unexpected", "mismatched")
        return ", ".join(f"{len(getattr(self, name))} {name}" for name in counts)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON value."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


def load_initial_weights(
    module: nn.Module, path: str | Path, *, min_match: float = 0.5
) -> WeightReport:
    """Copy the tensors of a file into the parameters and buffers of the same name and shape.

    Wrapping keys (`state_dict`, `state_dict_backbone`, `model`, …) and name prefixes (`module.`,
    `backbone.`, `encoder.`, …) are not listed here: of all groups of tensors in the file and of
    all dotted prefixes of their names, the pair that matches most names and shapes is taken.
    EfficientNets may have the names of efficientnet_pytorch.

    Args:
        module: Filled in place; left as it was where an error is raised.
        path: .safetensors, or a torch file such as .pth, read with weights_only=True.
        min_match: Smallest acceptable share of the module's parameters (counted as tensors) that
            the file fills, 0 to 1.

    Returns:
        Matched, missing, unexpected and mismatched names.

    Raises:
        CheckpointError: The file cannot be read, holds values that are not finite, or fills too
            few parameters; the message shows names of both sides.
    """
    path = Path(path).expanduser()
    own = module.state_dict()
    groups = {
        source: timm_efficientnet_names(tensors, own)
        for source, tensors in read_tensor_groups(path).items()
    }
    reports = {source: _match(own, tensors, source) for source, tensors in groups.items()}
    report = max(reports.values(), key=lambda r: len(r.matched))
    tensors = groups[report.source]
    parameters = {name for name, _ in module.named_parameters()}
    share = len(parameters & set(report.matched)) / max(len(parameters), 1)
    if share < min_match:
        raise CheckpointError(
            "too few weights of the file fit the backbone",
            expected=f"at least {min_match:.0%} of {len(parameters)} parameters, "
            f"named such as {_examples(own)}",
            found=f"{share:.0%}, {report.summary()}; the file's names are such as "
            f"{_examples(tensors)}",
            where=path,
            hint="Name the backbone that the file was made with.",
        )
    taken = {name: tensors[report.prefix + name] for name in report.matched}
    bad = [n for n, t in taken.items() if t.is_floating_point() and not t.isfinite().all()]
    if bad:
        raise CheckpointError(
            "the weights file holds values that are not finite", where=path, found=_examples(bad)
        )
    with torch.no_grad():
        for name, tensor in taken.items():
            own[name].copy_(tensor)
    return report


def _match(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], source: str) -> WeightReport:
    votes: Counter[str] = Counter({"": 0})
    for name, tensor in tensors.items():
        parts = name.split(".")
        for cut in range(len(parts)):
            inner = own.get(".".join(parts[cut:]))
            if inner is not None and inner.shape == tensor.shape:
                votes["".join(f"{part}." for part in parts[:cut])] += 1
    prefix = max(votes, key=lambda p: (votes[p], -len(p)))
    theirs = {n.removeprefix(prefix): t.shape for n, t in tensors.items() if n.startswith(prefix)}
    both = [name for name in own if name in theirs]
    return WeightReport(
        source=source,
        prefix=prefix,
        matched=tuple(name for name in both if own[name].shape == theirs[name]),
        missing=tuple(name for name in own if name not in theirs),
        unexpected=tuple(
            n for n in tensors if not n.startswith(prefix) or n.removeprefix(prefix) not in own
        ),
        mismatched=tuple(name for name in both if own[name].shape != theirs[name]),
    )


def _examples(names: Collection[str]) -> str:
    return ", ".join(list(names)[:_EXAMPLES]) or "none"
