"""LoRA: a frozen matrix W computes as W + (α / r) B A, and only B and A train.

Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022. A layer keeps its class,
names and tensors, and gets two more parameters, `lora_down` (A) and `lora_up` (B). B starts at 0,
so that the layer first computes what it did before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ke2nt.errors import ModelError
from ke2nt.runtime.formatting import first_few
from ke2nt.runtime.sharding import is_shard

__all__ = ["add_lora", "is_lora_parameter", "lora_layers", "merge_lora"]

_DOWN, _UP = "lora_down", "lora_up"


class _Target(NamedTuple):
    """A matrix that LoRA can train."""

    layer: nn.Module
    parameter: str


def add_lora(
    net: nn.Module,
    example: Tensor,
    *,
    rank: int,
    alpha: float,
    dropout: float = 0.0,
    targets: Sequence[str] | None = None,
    within: Sequence[str] | None = None,
) -> list[str]:
    """Give layers of a network LoRA, in place; other parameters do not change.

    Args:
        net: The network.
        example: An input of the network, to see which layers it calls.
        rank: r ≥ 1, the rank of B A.
        alpha: α; the product is weighed by α / r.
        dropout: Probability of dropping an input of A. A layer whose matrix is read without a
            call, as fused attention does, has none: B A is added to its matrix.
        targets: Names of layers, or ends of them ("qkv", "attn.proj"); None for all linear layers,
            or all convolutions of a network that has no linear ones.
        within: Names of modules to stay in; None for the whole network.

    Returns:
        Names of the changed layers.

    Raises:
        ModelError: No layer has such a name.
    """
    found = _find_targets(net)
    if targets is not None:
        chosen = {name: found[name] for name in found if _matches(name, targets)}
        _check_targets(targets, found)
    else:
        inside = {n: t for n, t in found.items() if within is None or _is_within(n, within)}
        linear = {n: t for n, t in inside.items() if not isinstance(t.layer, nn.Conv2d)}
        chosen = linear or inside
    if not chosen:
        raise ModelError(
            "LoRA finds no linear layer or convolution in the blocks of this encoder",
            found=type(net).__name__,
        )

    called = _called_layers(net, example)
    for target in chosen.values():
        _extend(target, rank, alpha / rank, dropout, is_called=target.layer in called)
    return list(chosen)


def is_lora_parameter(name: str) -> bool:
    """Whether a parameter is one of the two that LoRA adds."""
    return name.rpartition(".")[2] in (_DOWN, _UP)


def lora_layers(module: nn.Module) -> dict[str, nn.Module]:
    """Layers with LoRA by name."""
    return {name: layer for name, layer in module.named_modules() if _DOWN in layer._parameters}


def merge_lora(module: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Add B A to the matrices of a state dict and leave B and A out.

    Args:
        module: The module; it stays as it is.
        state: Its `state_dict()`, or another with these names and whole tensors.

    Returns:
        A state dict of the network as it was before LoRA.
    """
    merged = {name: value for name, value in state.items() if not is_lora_parameter(name)}
    for name, layer in lora_layers(module).items():
        prefix = f"{name}." if name else ""
        matrix = f"{prefix}{layer.lora_matrix}"
        # absent in all processes but one, if the state was gathered
        if matrix in state:
            down, up = state[f"{prefix}{_DOWN}"], state[f"{prefix}{_UP}"]
            merged[matrix] = _effective(state[matrix], down, up, _scaling(layer))
    return merged


def _find_targets(net: nn.Module) -> dict[str, _Target]:
    """Name of each layer that can have LoRA → its matrix."""
    found: dict[str, _Target] = {}
    for name, layer in net.named_modules():
        # queries, keys and values in one matrix
        if isinstance(layer._parameters.get("in_proj_weight"), nn.Parameter):
            found[f"{name}.in_proj".lstrip(".")] = _Target(layer, "in_proj_weight")
        elif isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.groups == 1):
            found[name] = _Target(layer, "weight")
    return found


@torch.no_grad()
def _called_layers(net: nn.Module, example: Tensor) -> set[nn.Module]:
    """Linear layers and convolutions whose own forward pass computes their output.

    Attention of some families reads the matrix of a layer instead of calling the layer.
    """
    called: set[nn.Module] = set()
    hooks = [
        layer.register_forward_hook(lambda layer, _, output: called.add(layer))
        for layer in net.modules()
        if type(layer).forward in (nn.Linear.forward, nn.Conv2d.forward)
    ]
    training = net.training
    net.eval()(example)
    net.train(training)
    for hook in hooks:
        hook.remove()
    return called


def _matches(name: str, targets: Sequence[str]) -> bool:
    return any(name == target or name.endswith(f".{target}") for target in targets)


def _is_within(name: str, modules: Sequence[str]) -> bool:
    return any(name.startswith(f"{module}.") for module in modules)


def _check_targets(targets: Sequence[str], found: Mapping[str, _Target]) -> None:
    """Refuse a target that names no layer, and say which names there are."""
    for target in targets:
        if not any(_matches(name, [target]) for name in found):
            # ends of names, without the numbers of blocks
            ends = dict.fromkeys(name.rpartition(".")[2] for name in found)
            known = sorted(end for end in ends if not end.isdigit()) or list(found)
            raise ModelError(
                f"model.lora.targets: no layer of this encoder is named {target!r}",
                expected=f"ends of the names of layers, such as {first_few(known, 12)}",
                found=target,
            )


def _extend(target: _Target, rank: int, scaling: float, dropout: float, *, is_called: bool) -> None:
    """Add A and B to a layer."""
    layer: Any = target.layer
    matrix = layer._parameters[target.parameter]
    # a convolution applies A at each position of its kernel, and B at each of its output
    conv, (out, *fan_in) = isinstance(layer, nn.Conv2d), matrix.shape
    down = matrix.new_empty(rank, *fan_in)
    nn.init.kaiming_uniform_(down, a=math.sqrt(5))
    layer.register_parameter(_DOWN, nn.Parameter(down))
    up = matrix.new_zeros(out, rank, *([1, 1] if conv else []))
    layer.register_parameter(_UP, nn.Parameter(up))

    layer.lora_matrix, layer.lora_scaling, layer.lora_dropout = target.parameter, scaling, dropout
    layer.__class__ = _lora_class(type(layer), target.parameter, is_called)


def _lora_class(kind: type, parameter: str, is_called: bool) -> type:
    """The class of a layer with LoRA.

    The factors are applied one by one where the layer is called, which saves the gradient of the
    matrix; else the matrix is read as the sum.
    """
    members: dict[str, Any] = {"__module__": __name__}
    if is_called:
        is_conv = issubclass(kind, nn.Conv2d)
        members["forward"] = _conv_forward if is_conv else _linear_forward
    else:
        members[parameter] = property(_effective_matrix)
    return type(f"Lora{kind.__name__}", (kind,), members)


def _linear_forward(self: Any, x: Tensor) -> Tensor:
    """(…, in) → (…, out): x Wᵀ + b + (α / r) (x Aᵀ) Bᵀ."""
    small = functional.linear(_dropped(self, x), self.lora_down)
    added = functional.linear(small, self.lora_up)
    return nn.Linear.forward(self, x) + self.lora_scaling * added


def _conv_forward(self: Any, x: Tensor) -> Tensor:
    """(B, in, h, w) → (B, out, h', w'): A with the stride and padding of the kernel, B 1 × 1."""
    small = self._conv_forward(_dropped(self, x), self.lora_down, None)
    added = functional.conv2d(small, self.lora_up)
    return nn.Conv2d.forward(self, x) + self.lora_scaling * added


def _effective_matrix(self: Any) -> Tensor:
    """W + (α / r) B A; W alone while it is a part of a tensor, which no forward pass reads."""
    parameters = self._parameters
    if is_shard(parameters[self.lora_matrix]):
        return parameters[self.lora_matrix]
    return _effective(
        parameters[self.lora_matrix], parameters[_DOWN], parameters[_UP], _scaling(self)
    )


def _effective(matrix: Tensor, down: Tensor, up: Tensor, scaling: float) -> Tensor:
    """W + s B A of a matrix (out, in) or a kernel (out, in, k, k)."""
    added = up.flatten(1) @ down.flatten(1)
    return matrix + scaling * added.view(matrix.shape)


def _scaling(layer: Any) -> float:
    return float(layer.lora_scaling)


def _dropped(layer: Any, x: Tensor) -> Tensor:
    return functional.dropout(x, layer.lora_dropout, layer.training) if layer.lora_dropout else x
