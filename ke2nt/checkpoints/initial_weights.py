"""Initial weights from a local file, whatever wrapped or prefixed them, with a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ke2nt.checkpoints.weight_names import is_constant, renamed_forms
from ke2nt.errors import CheckpointError
from ke2nt.runtime.tensor_files import read_tensor_groups

__all__ = ["WeightReport", "load_initial_weights"]

_EXAMPLES = 5
_FITS = 0.25  # share of a network that tensors under other names must fill to be taken for its own
_NECK_PREFIX = "feature."  # of the published KE2NT
_NECK = ("feature.0.weight", "feature.2.weight")
_CLASSIFIERS = ("fc", "head", "classifier")  # timm's encoders may keep a norm under these names


@dataclass(frozen=True, slots=True)
class WeightReport:
    """Which tensors of a weights file were loaded.

    Constants such as attention masks and counters are not counted as missing or unexpected.

    Attributes:
        source: Wrapping keys that lead to the tensors in the file ("state_dict"), "" for none.
        prefix: Prefix that was stripped from the file's names ("module.backbone."), "" for none.
        matched: Names of the module that were loaded.
        missing: Names of the module that the file lacks; they keep their values.
        unexpected: Names of the file that the module lacks.
        mismatched: Names on both sides whose shapes differ; the module keeps its values.
        names: Whose names the file has ("Swin", "CLIP"), "" for the module's own.
    """

    source: str
    prefix: str
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[str, ...]
    names: str = ""

    def summary(self) -> str:
        """One line with the counts."""
        counts = ("matched", "missing", "unexpected", "mismatched")
        return ", ".join(f"{len(getattr(self, name))} {name}" for name in counts)

    def describe(self) -> str:
        """The counts, and the first names that were not loaded."""
        parts = [self.summary()]
        for kind in ("missing", "unexpected", "mismatched"):
            if names := getattr(self, kind):
                parts.append(f"{kind}: {_some(names)}")
        return "; ".join(parts)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> WeightReport:
        """Read what `to_dict` returned."""
        fields: dict[str, Any] = {
            key: tuple(item) if isinstance(item, list) else item for key, item in value.items()
        }
        return cls(**fields)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON value."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


def load_initial_weights(
    module: nn.Module,
    path: str | Path,
    *,
    min_match: float | None = None,
    neck: nn.Module | None = None,
) -> WeightReport:
    """Copy the tensors of a file into the parameters and buffers of the same name and shape.

    Wrapping keys (`state_dict`, `state_dict_backbone`, `model`, …) and name prefixes (`module.`,
    `backbone.`, `encoder.`, …) are not listed here: of all groups of tensors in the file, of all
    namings that `renamed_forms` knows, and of all dotted prefixes, the one that matches most names
    and shapes is taken.

    Args:
        module: An image encoder without a classifier; unchanged if an error is raised. With an
            attribute `is_part` that is true, the file may hold more layers than it has.
        path: .safetensors, or a torch file such as .pth.
        min_match: None to load all parameters and statistics of module and neck or nothing, from
            a file of the same network; or the smallest acceptable share of the module's
            parameters (counted as tensors), 0 to 1, whatever else the file holds.
        neck: The layers behind the encoder, as the published KE2NT names them `feature.0` to
            `feature.3`.

    Returns:
        Matched, missing, unexpected and mismatched names.

    Raises:
        CheckpointError: The file cannot be read, holds values that are not finite, fills too
            little, or is of another network; the message shows names of both sides.
    """
    path = Path(path).expanduser()
    state = dict(module.state_dict())
    necked = {} if neck is None else neck.state_dict(prefix=_NECK_PREFIX)

    report, tensors = _find_best(state | necked, read_tensor_groups(path))
    if min_match is None:
        _check_neck(report, state | necked, tensors, has_neck=bool(necked), where=path)
        _check_complete(report, state | necked, tensors, where=path)
        if not getattr(module, "is_part", False):
            _check_same_network(report, state, where=path)
    else:
        parameters = {name for name, _ in module.named_parameters()}
        _check_share(report, parameters, min_match, examples=(state, tensors), where=path)
    matched = {name: tensors[report.prefix + name] for name in report.matched}
    _check_finite(matched, where=path)

    with torch.no_grad():
        for name, tensor in matched.items():
            (state | necked)[name].copy_(tensor)
    return report


def _find_best(
    state: Mapping[str, Tensor], groups: Mapping[str, Mapping[str, Tensor]]
) -> tuple[WeightReport, Mapping[str, Tensor]]:
    """The group of tensors and the naming that fit best, such as "ema.state_dict" of Swin."""
    candidates = []
    for source, tensors in groups.items():
        for names, renamed in renamed_forms(tensors, state).items():
            report = replace(_match(state, renamed, source), names=names)
            # messages about another network should have the file's own names
            if not names or len(report.matched) > _FITS * len(state):
                candidates.append((report, renamed))
    return max(candidates, key=lambda candidate: len(candidate[0].matched))


def _check_complete(
    report: WeightReport,
    state: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    *,
    where: Path,
) -> None:
    """Refuse a file that leaves a part of the network random."""
    if not report.missing and not report.mismatched:
        return

    found = [report.summary()]
    if report.missing:
        found.append(f"missing: {_some(report.missing)}")
    if report.mismatched:
        # both shapes, as the names alone look right
        shapes = [
            f"{name} {tuple(tensors[report.prefix + name].shape)} for {tuple(state[name].shape)}"
            for name in report.mismatched[:_EXAMPLES]
        ]
        found.append(f"mismatched: {', '.join(shapes)}")
    if report.unexpected:
        found.append(f"the file also has {_some(report.unexpected)}")

    wanted = len(report.matched) + len(report.missing) + len(report.mismatched)
    raise CheckpointError(
        "the initial weights do not fill the whole image encoder",
        expected=f"{wanted} tensors, named such as {_some(state)}",
        found="; ".join(found),
        where=where,
        hint="Name the backbone that the file was made with, with its options and image size; "
        "model.min_match=0.9 loads what fits if that is at least 90 %.",
    )


def _check_neck(
    report: WeightReport,
    state: Collection[str],
    tensors: Collection[str],
    *,
    has_neck: bool,
    where: Path,
) -> None:
    """Refuse a file that fits the encoder, but has a neck that the model lacks, or the reverse."""
    unfilled = [n for n in (*report.missing, *report.mismatched) if not n.startswith(_NECK_PREFIX)]
    file_has_neck = all(f"{report.prefix}{name}" in tensors for name in _NECK)
    if unfilled or has_neck == file_has_neck:
        return

    if file_has_neck:
        raise CheckpointError(
            "the initial weights have a neck behind the image encoder, which this model lacks",
            found=", ".join(name for name in report.unexpected if _NECK_PREFIX in name),
            where=where,
            hint="Set model.projection=neck, as published, or model.min_match=1 to leave it out.",
        )
    raise CheckpointError(
        "the initial weights have no neck, and this model has one behind its image encoder",
        expected=", ".join(name for name in state if name.startswith(_NECK_PREFIX)),
        where=where,
        hint="model.min_match=1 loads the image encoder and trains the neck from random weights; "
        "model.projection=linear has no neck.",
    )


def _check_same_network(report: WeightReport, state: Collection[str], *, where: Path) -> None:
    """Refuse a file with more layers inside a part of the network, as a deeper one has."""
    # the first word of a name is the part: layer1, blocks, layers
    parts = {name.partition(".")[0] for name in state} - {*_CLASSIFIERS}
    names = [name for name in report.unexpected if name.startswith(report.prefix)]
    extra = [n for n in names if n.removeprefix(report.prefix).partition(".")[0] in parts]
    if extra:
        raise CheckpointError(
            "the initial weights are of another network, with more layers",
            expected=f"{len(report.matched)} tensors inside {', '.join(sorted(parts))}",
            found=f"{len(extra)} more: {_some(extra)}",
            where=where,
            hint="Name the backbone that the file was made with, with its options; "
            "model.min_match=1 takes the layers that fit and leaves out the rest.",
        )


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
            found=f"{share:.0%}, {report.describe()}; the file's names are such as {theirs}",
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
        missing=tuple(n for n in state if n not in shapes and not is_constant(n)),
        unexpected=tuple(n for n in tensors if n not in used and not is_constant(n)),
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
    shown, more = ", ".join(list(names)[:_EXAMPLES]), len(names) - _EXAMPLES
    return f"{shown} and {more} more" if more > 0 else shown or "none"
