"""A training step recorded once as a CUDA graph and then replayed (`cuda_graphs=true`).

Worthwhile for small networks and small batches on a GPU: such a step is some hundred kernels of a
few microseconds each, and launching them one by one from Python takes longer than running them. A
graph launches them all at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from ke2nt.errors import TrainingError
from ke2nt.runtime.distributed import world_size
from ke2nt.training.task import StepResult

__all__ = ["FIRST_REPLAY", "RecordedStep", "SingleCopy", "StepGraph", "resolve_cuda_graphs"]

Work = Callable[..., Sequence[Tensor]]

FIRST_REPLAY = 4
"""The call that records and replays first; those before it warm up."""

_ALIGNMENT = 16  # bytes


def resolve_cuda_graphs(
    setting: bool | Literal["auto"], device: torch.device, *, supported: bool = True
) -> bool:
    """Whether to record steps: as set, or with "auto" on one GPU, by a task that supports it."""
    if setting == "auto":
        return device.type == "cuda" and supported and world_size() == 1
    return setting


class RecordedStep:
    """A step's forward and backward pass, recorded once and then replayed.

    Args:
        compute: Inputs and turn → detached result. The inputs are nested tuples whose tensors are
            all that changes from step to step, and there is a single turn.
        device: A CUDA device.

    Raises:
        TrainingError: It is not a CUDA device.
    """

    def __init__(self, compute: Callable[[Any, str], StepResult], device: torch.device) -> None:
        self._compute = compute
        self._graph = StepGraph(self._compute_flat, device)

        # of the latest inputs: leaves, how they are nested, and their turn
        self._leaves: list[Any] = []
        self._nesting: TreeSpec | None = None
        self._turn = ""
        self._part_names: tuple[str, ...] = ()

    def __call__(self, inputs: Any, turn: str) -> StepResult:
        """Return the detached result of a step; the next call overwrites its tensors."""
        # a graph knows flat tensors only
        self._leaves, self._nesting = tree_flatten(inputs)
        self._turn = turn
        tensors = [leaf for leaf in self._leaves if isinstance(leaf, Tensor)]
        loss, *values = self._graph(*tensors)
        return StepResult(loss, dict(zip(self._part_names, values, strict=True)))

    def _compute_flat(self, *tensors: Tensor) -> list[Tensor]:
        """Compute the step on tensors in place of those in the latest inputs."""
        assert self._nesting is not None
        values = iter(tensors)
        leaves = [next(values) if isinstance(leaf, Tensor) else leaf for leaf in self._leaves]
        loss, parts = self._compute(tree_unflatten(leaves, self._nesting), self._turn)
        self._part_names = tuple(parts)
        return [loss, *parts.values()]


class StepGraph:
    """Calls a function of tensors; from the fourth call on, it replays what that call did.

    The function must do the same operations on the device each time: numbers that change from call
    to call are its arguments, or tensors that are written in place between the calls. What it
    leaves in place (gradients, running statistics) is left by a replay, too. Arguments of other
    shapes, such as a smaller batch, are computed without the graph, and the next call records anew.

    Args:
        work: The function; tensors → tensors. When recorded, all its arguments are on the device.
            Those passed in may be on the CPU, the same ones each time.
        device: A CUDA device.

    Raises:
        TrainingError: It is not a CUDA device.

    Example:
        >>> step = StepGraph(lambda images: (loss_and_backward(images),), images.device)
        >>> (loss,) = step(images)  # overwritten by the next call
    """

    def __init__(self, work: Work, device: torch.device) -> None:
        if device.type != "cuda":
            raise TrainingError(
                "CUDA graphs need a CUDA device", found=device, hint="Use cuda_graphs=false."
            )
        self._work, self._device = work, device
        self._stream = torch.cuda.Stream(device)
        self._calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: list[Tensor] = []
        self._copy_from_host: SingleCopy | None = None
        self._outputs: Sequence[Tensor] = ()

    def __call__(self, *inputs: Tensor) -> Sequence[Tensor]:
        """Return the function's results; the next call overwrites them."""
        self._calls += 1
        if self._calls < FIRST_REPLAY:
            return self._run_aside(inputs)
        # kernels of other shapes cannot be replayed
        if self._graph is None:
            self._graph = self._record(inputs)
        if [x.shape for x in inputs] != [x.shape for x in self._inputs]:
            self._graph = None  # its gradients are no longer those of the parameters
            return self._run_aside(inputs)

        # the recorded kernels read the first inputs' memory
        for recorded, value in zip(self._inputs, inputs, strict=True):
            if value.device.type != "cpu":
                recorded.copy_(value)
        if self._copy_from_host is not None:
            self._copy_from_host([x for x in inputs if x.device.type == "cpu"])
        self._graph.replay()
        return self._outputs

    def _run_aside(self, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        """Run on the stream that records, where libraries choose their kernels."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            outputs = self._work(*inputs)
        torch.cuda.current_stream().wait_stream(self._stream)
        return outputs

    def _record(self, inputs: Sequence[Tensor]) -> torch.cuda.CUDAGraph:
        # memory that stays, filled anew before each replay
        on_host = [x for x in inputs if x.device.type == "cpu"]
        self._copy_from_host = SingleCopy(on_host, self._device) if on_host else None
        copies = iter(self._copy_from_host(on_host) if self._copy_from_host else ())
        self._inputs = [next(copies) if x.device.type == "cpu" else x.clone() for x in inputs]

        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._outputs = self._work(*self._inputs)
        return graph


class SingleCopy:
    """Copies tensors from the CPU to a device as one piece of memory.

    Each copy, however small, keeps a GPU busy for some microseconds. The host does not wait.

    Args:
        like: Tensors of the shapes and dtypes to come.
        device: Where to copy them.
    """

    def __init__(self, like: Sequence[Tensor], device: torch.device) -> None:
        self._layout = [(x.shape, x.dtype, x.nbytes) for x in like]
        size = sum(_aligned(nbytes) for *_, nbytes in self._layout)
        self._memory = torch.empty(size, dtype=torch.uint8, device=device)
        self._tensors = self._views(self._memory)

    def __call__(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Return the values on the device; the next call overwrites them."""
        on_gpu = self._memory.device.type == "cuda"
        packed = torch.empty(self._memory.shape, dtype=torch.uint8, pin_memory=on_gpu)
        for view, value in zip(self._views(packed), values, strict=True):
            view.copy_(value)
        self._memory.copy_(packed, non_blocking=True)
        return self._tensors

    def _views(self, memory: Tensor) -> list[Tensor]:
        """Tensors that lie in a piece of memory, one after the other."""
        views, begin = [], 0
        for shape, dtype, nbytes in self._layout:
            views.append(memory[begin : begin + nbytes].view(dtype).view(shape))
            begin += _aligned(nbytes)
        return views


def _aligned(nbytes: int) -> int:
    """Round up, so that the next tensor may have any dtype."""
    return -(-nbytes // _ALIGNMENT) * _ALIGNMENT
