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
from ke2nt.checkpoints.imagenet import imagenet_weights
from ke2nt.errors import CheckpointError
from ke2nt.runtime.suggest import did_you_mean
from ke2nt.runtime.tensor_files import read_tensor_groups

__all__ = ["NAMED_WEIGHTS", "WeightReport", "find_initial_weights", "load_initial_weights"]

NAMED_WEIGHTS = ("timm", "imagenet")
"""Initial weights by name: of timm's hub, and of the `imagenet` extra."""

_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class WeightReport:
    """Which tensors of a weights file were loaded.

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


def find_initial_weights(weights: str | Path, backbone: object) -> Path:
    """Find the file of initial weights.

    Args:
        weights: "imagenet", or the path of a local file.
        backbone: Name of the image encoder to initialize.

    Raises:
        CheckpointError: There is no such file.
        ModelError: The `imagenet` extra has no weights for this encoder.
        MissingExtraError: The `imagenet` extra is not installed.
    """
    path = imagenet_weights(backbone) if weights == "imagenet" else Path(weights).expanduser()
    if not path.is_file():
        raise CheckpointError(
            "no such initial weights",
            expected="timm, imagenet, or a .safetensors or .pth file",
            found=weights,
            hint=did_you_mean(str(weights), NAMED_WEIGHTS),
        )
    return path


def load_initial_weights(
    module: nn.Module, path: str | Path, *, min_match: float = 0.5
) -> WeightReport:
    """Copy the tensors of a file into the parameters and buffers of the same name and shape.

    Wrapping keys (`state_dict`, `state_dict_backbone`, `model`, …) and name prefixes (`module.`,
    `backbone.`, `encoder.`, …) are not listed here: of all groups of tensors in the file and of
    all dotted prefixes of their names, the pair that matches most names and shapes is taken.
    EfficientNets may have the names of efficientnet_pytorch.

    Args:
        module: Filled in place; unchanged if an error is raised.
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
    state = module.state_dict()

    # the group of tensors that fits best, such as "ema.state_dict"
    groups = {
        source: timm_efficientnet_names(tensors, state)
        for source, tensors in read_tensor_groups(path).items()
    }
    reports = [_match(state, tensors, source) for source, tensors in groups.items()]
    report = max(reports, key=lambda report: len(report.matched))
    tensors = groups[report.source]

    parameters = {name for name, _ in module.named_parameters()}
    _check_share(report, parameters, min_match, examples=(state, tensors), where=path)
    matched = {name: tensors[report.prefix + name] for name in report.matched}
    _check_finite(matched, where=path)

    with torch.no_grad():
        for name, tensor in matched.items():
            state[name].copy_(tensor)
    return report


def _check_share(
    report: WeightReport,
    parameters: Collection[str],
    min_match: float,
    *,
    examples: tuple[Collection[str], Collection[str]],
    where: Path,
) -> None:
    """Refuse a file that fills too few of the parameters."""
    share = len(set(parameters) & set(report.matched)) / max(len(parameters), 1)
    if share < min_match:
        ours, theirs = map(_some, examples)
        raise CheckpointError(
            "too few weights of the file fit the backbone",
            expected=f"at least {min_match:.0%} of {len(parameters)} parameters, named such as "
            f"{ours}",
            found=f"{share:.0%}, {report.summary()}; the file's names are such as {theirs}",
            where=where,
            hint="Name the backbone that the file was made with.",
        )


def _check_finite(tensors: Mapping[str, Tensor], *, where: Path) -> None:
    floating = {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point()}
    broken = [name for name, tensor in floating.items() if not tensor.isfinite().all()]
    if broken:
        raise CheckpointError(
            "the weights file holds NaN or infinite values", where=where, found=_some(broken)
        )


def _match(state: Mapping[str, Tensor], tensors: Mapping[str, Tensor], source: str) -> WeightReport:
    """Compare a group of tensors with a module, under the prefix that fits most of them."""
    # the file's names without the prefix, as the module has them
    prefix = _best_prefix(state, tensors)
    shapes = {
        name.removeprefix(prefix): tensor.shape
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }

    common = [name for name in state if name in shapes]
    used = {prefix + name for name in common}
    return WeightReport(
        source=source,
        prefix=prefix,
        matched=tuple(name for name in common if state[name].shape == shapes[name]),
        missing=tuple(name for name in state if name not in shapes),
        unexpected=tuple(name for name in tensors if name not in used),
        mismatched=tuple(name for name in common if state[name].shape != shapes[name]),
    )


def _best_prefix(state: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> str:
    """The dotted prefix under which most tensors have a name and shape of the module."""
    # each tensor votes for every prefix under which it fits
    votes: Counter[str] = Counter({"": 0})
    for name, tensor in tensors.items():
        parts = name.split(".")
        for cut in range(len(parts)):
            target = state.get(".".join(parts[cut:]))
            if target is not None and target.shape == tensor.shape:
                votes["".join(f"{part}." for part in parts[:cut])] += 1

    # of equally good prefixes the shortest
    return max(votes, key=lambda prefix: (votes[prefix], -len(prefix)))


def _some(names: Collection[str]) -> str:
    """The first few names, for messages."""
    return ", ".join(list(names)[:_EXAMPLES]) or "none"
