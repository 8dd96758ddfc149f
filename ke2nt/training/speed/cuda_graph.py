"""The device's work of a training step, recorded once as a CUDA graph and then replayed.

A step of a small network is some hundred kernels of a few microseconds; to launch them one by one
from Python takes longer than to run them. A graph launches them all at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ke2nt.errors import TrainingError

__all__ = ["CALLS_BEFORE_REPLAY", "OneCopy", "StepGraph"]

Work = Callable[..., Sequence[Tensor]]

CALLS_BEFORE_REPLAY = 4
"""Three that warm up, and the one that records."""

_ALIGNMENT = 16  # bytes


class StepGraph:
    """Calls a function of tensors; from the fourth call on, it replays what that call did.

    The function must do the same operations each time, on the device alone: numbers that change
    from call to call are its arguments, or tensors that are written in place between the calls.
    What it leaves in place (gradients, running statistics) is left by a replay, too. Arguments of
    other shapes than the recorded ones, as of a smaller batch, are computed without the graph, and
    the call after that records anew.

    Args:
        work: The function; tensors → tensors. A recorded call has all its arguments on the device;
            given ones may be on the CPU, the same ones each time.
        device: A CUDA device.

    Raises:
        TrainingError: It is no such device.

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
        self._side = torch.cuda.Stream(device)
        self._calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: list[Tensor] = []
        self._from_host: OneCopy | None = None
        self._outputs: Sequence[Tensor] = ()

    def __call__(self, *inputs: Tensor) -> Sequence[Tensor]:
        """The function's results; the next call overwrites them."""
        self._calls += 1
        if self._calls < CALLS_BEFORE_REPLAY:
            return self._aside(inputs)
        if self._graph is None:
            self._graph = self._record(inputs)
        if [x.shape for x in inputs] != [x.shape for x in self._inputs]:
            self._graph = None  # its gradients are not those of the parameters any more
            return self._aside(inputs)
        for own, given in zip(self._inputs, inputs, strict=True):
            if given.device.type != "cpu":
                own.copy_(given)
        if self._from_host is not None:
            self._from_host([x for x in inputs if x.device.type == "cpu"])
        self._graph.replay()
        return self._outputs

    def _aside(self, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        """On a stream of its own, as what is recorded; libraries choose their kernels here."""
        self._side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._side):
            outputs = self._work(*inputs)
        torch.cuda.current_stream().wait_stream(self._side)
        return outputs

    def _record(self, inputs: Sequence[Tensor]) -> torch.cuda.CUDAGraph:
        host = [x for x in inputs if x.device.type == "cpu"]
        self._from_host = OneCopy(host, self._device) if host else None
        copies = iter(self._from_host(host) if self._from_host else ())
        self._inputs = [next(copies) if x.device.type == "cpu" else x.clone() for x in inputs]
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._outputs = self._work(*self._inputs)
        return graph


class OneCopy:
    """Tensors of the CPU, copied to a device as one piece of memory.

    Each copy, however small, keeps a GPU for some microseconds. The host does not wait for it.

    Args:
        like: Tensors of the shapes and dtypes to come.
        device: Where to.
    """

    def __init__(self, like: Sequence[Tensor], device: torch.device) -> None:
        self._like = [(x.shape, x.dtype, x.nbytes) for x in like]
        size = sum(_aligned(nbytes) for *_, nbytes in self._like)
        self._piece = torch.empty(size, dtype=torch.uint8, device=device)
        self._places = self._within(self._piece)

    def __call__(self, values: Sequence[Tensor]) -> list[Tensor]:
        """The values on the device; the next call overwrites them."""
        pinned = self._piece.device.type == "cuda"
        piece = torch.empty(self._piece.shape, dtype=torch.uint8, pin_memory=pinned)
        for place, value in zip(self._within(piece), values, strict=True):
            place.copy_(value)
        self._piece.copy_(piece, non_blocking=True)
        return self._places

    def _within(self, piece: Tensor) -> list[Tensor]:
        """The tensors that lie in a piece of memory, one after the other."""
        found, begin = [], 0
        for shape, dtype, nbytes in self._like:
            found.append(piece[begin : begin + nbytes].view(dtype).view(shape))
            begin += _aligned(nbytes)
        return found


def _aligned(nbytes: int) -> int:
    """Rounded up, so that what comes after it may have any dtype."""
    return -(-nbytes // _ALIGNMENT) * _ALIGNMENT
