"""`model.tune`: which parameters of a recognizer train."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from ke2nt.config.tuning import LoraConfig
from ke2nt.errors import ModelError
from ke2nt.models.base import ExpressionModel
from ke2nt.models.layer_groups import find_layer_groups
from ke2nt.models.lora import add_lora, is_lora_parameter

__all__ = ["TrainedShare", "count_parameters", "tune_model"]


@dataclass(frozen=True)
class TrainedShare:
    """How many parameters of a model train.

    Attributes:
        tune: `model.tune`.
        trained: Numbers in the parameters that train, also those of LoRA.
        total: Numbers in all parameters.
    """

    tune: str
    trained: int
    total: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON value."""
        return asdict(self)

    def describe(self, *, random: bool = False) -> str:
        """One line, such as "trains 0.3 of 86.5 million parameters (0.3 %): model.tune=lora".

        Args:
            random: Whether the model starts from random weights, which no frozen layer should.
        """
        total = f"{self.total / 1e6:.3g} million parameters"
        if self.trained == self.total:
            return f"trains all {total}"
        share = f"{100 * self.trained / self.total:.2g} %"
        line = f"trains {self.trained / 1e6:.3g} of {total} ({share}): model.tune={self.tune}"
        warning = "; the others stay random without initial weights (model.weights or start)"
        return line + (warning if random else "")


def tune_model(model: ExpressionModel, tune: str, lora: LoraConfig | None = None) -> None:
    """Let only a part of a model train, in place.

    The heads always train: projections, transformation network, classifier, attention of stages,
    a learned logit scale. Batch normalizations that do not train keep their statistics, see
    `ExpressionModel.train`.

    Args:
        model: The model, with its initial weights.
        tune: "full": all; "head": the heads alone; "norms": also weights and biases of the
            encoder's normalizations; "last:N": also its last N blocks and what follows them;
            "lora": also low-rank changes of the matrices in its blocks.
        lora: Options of "lora"; None for the default ones.

    Raises:
        ModelError: The encoder has no such layers.
    """
    if tune == "full":
        return
    net = model.backbone.net
    groups = find_layer_groups(net)
    for parameter in net.parameters():
        parameter.requires_grad_(False)

    # an encoder with a projection of its own, as CLIP's towers, needs no other: it is a head then
    if not any(True for _ in getattr(model, "projection", model).parameters()):
        _unfreeze(net, (name for name in groups.final if _is_projection(name)))

    if tune == "norms":
        _unfreeze(net, _norm_parameters(net))
    elif tune == "lora":
        options = LoraConfig() if lora is None else lora
        size = model.preprocessing.image_size
        add_lora(
            net,
            torch.zeros(1, 3, size, size),
            rank=options.rank,
            alpha=options.alpha,
            dropout=options.dropout,
            targets=options.targets,
            within=list(groups.blocks) or None,
        )
        _unfreeze(net, (name for name, _ in net.named_parameters() if is_lora_parameter(name)))
    elif tune.startswith("last:"):
        count = int(tune.removeprefix("last:"))
        _check_blocks(net, count, len(groups.blocks))
        _unfreeze(net, groups.last(count))


def count_parameters(model: nn.Module, tune: str) -> TrainedShare:
    """Count the parameters of a model, before it is sharded."""
    counts = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    trained = sum(count for count, trains in counts if trains)
    return TrainedShare(tune, trained, sum(count for count, _ in counts))


def _unfreeze(net: nn.Module, names: Iterable[str]) -> None:
    for name in names:
        net.get_parameter(name).requires_grad_(True)


def _norm_parameters(net: nn.Module) -> list[str]:
    """Weights and biases of normalizations, which every library calls so."""
    names = [
        f"{name}.{parameter}"
        for name, module in net.named_modules()
        if "norm" in type(module).__name__.lower()
        for parameter, value in module.named_parameters(recurse=False)
        if value.ndim == 1
    ]
    if not names:
        raise ModelError(
            "model.tune=norms: the encoder has no normalization with weights",
            found=type(net).__name__,
        )
    return names


def _is_projection(name: str) -> bool:
    """Whether a parameter behind the last block is a tower's projection to the text space."""
    return any(part in ("proj", "projection", "c_proj") for part in name.split("."))


def _check_blocks(net: nn.Module, count: int, blocks: int) -> None:
    if not blocks:
        raise ModelError(
            f"model.tune=last:{count}: the blocks of this encoder are not known",
            expected="full, head, norms or lora",
            found=type(net).__name__,
        )
    if count > blocks:
        raise ModelError(
            f"model.tune=last:{count}: the encoder has fewer blocks",
            expected=f"last:1 to last:{blocks}",
            found=f"last:{count}",
        )
