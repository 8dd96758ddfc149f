"""The device's work of a training step, recorded once as a CUDA graph and then replayed.

A step of a small network is some hundred kernels of a few microseconds; to launch them one by one
from Python takes longer than to run them. A graph launches them all at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ke2nt.errors import TrainingError

__all__ = ["CALLS_BEFORE_REPLAY", "StepGraph"]

Work = Callable[..., Sequence[Tensor]]

CALLS_BEFORE_REPLAY = 4
"""Three that warm up, and the one that records."""


class StepGraph:
    """Calls a function of tensors; from the fourth call on, it replays what that call did.

    The function must do the same operations each time, on the device alone: numbers that change
    from call to call are its arguments, or tensors that are written in place between the calls.
    What it leaves in place (gradients, running statistics) is left by a replay, too. Arguments of
    other shapes than the recorded ones, as of a smaller batch, are computed without the graph, and
    the call after that records anew.

    Args:
        work: The function; tensors → tensors. A recorded call has all its arguments on the device;
            given ones may be on the CPU.
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
        self._calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: list[Tensor] = []
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
            own.copy_(
                given.pin_memory() if given.device.type == "cpu" else given, non_blocking=True
            )
        self._graph.replay()
        return self._outputs

    def _aside(self, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        """On a stream of its own, as what is recorded; libraries choose their kernels here."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            outputs = self._work(*inputs)
        torch.cuda.current_stream().wait_stream(stream)
        return outputs

    def _record(self, inputs: Sequence[Tensor]) -> torch.cuda.CUDAGraph:
        self._inputs = [x.to(self._device, copy=True) for x in inputs]
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._outputs = self._work(*self._inputs)
        return graph
