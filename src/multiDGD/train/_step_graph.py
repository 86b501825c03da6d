"""Recording of a training step as a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

Step: TypeAlias = Callable[..., dict[str, Tensor]]

# Kernels are compiled, and optimisers and libraries allocate their memory, before the recording.
_N_WARMUP = 3


class StepGraph:
    """Function of tensors, whose kernels a CUDA device launches all at once.

    The first calls run the function itself. The next one records it, and from then on only the
    recorded kernels run, on the memory of the recording. The function must therefore not wait for
    the device, the shapes of its inputs must not change, and its effect must depend on nothing but
    its inputs and tensors that are changed in place. On other devices, every call runs the function
    itself.

    Parameters
    ----------
    function
        Function of some tensors that returns tensors of shape ``(k,)`` and one dtype, by name.
    device
        Device of its inputs.

    Examples
    --------
    >>> import torch
    >>> from multiDGD.train._step_graph import StepGraph
    >>> step = StepGraph(lambda x: {"square": x**2}, torch.device("cpu"))
    >>> step(torch.tensor([3.0]))
    {'square': tensor([9.])}
    """

    def __init__(self, function: Step, device: torch.device) -> None:
        self._function = function
        self._device = device
        self._n_calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, *inputs: Tensor) -> dict[str, Tensor]:
        """Run the function.

        Parameters
        ----------
        *inputs
            Arguments of the function, on the processor or the device.
        """
        if self._device.type != "cuda":
            return self._function(*inputs)
        if self._n_calls < _N_WARMUP:
            self._n_calls += 1
            return self._warm_up(inputs)
        if self._graph is None:
            self._graph = self._record(inputs)
        for recorded, x in zip(self._inputs, inputs, strict=True):
            recorded.copy_(x, non_blocking=True)
        self._graph.replay()
        # The next replay overwrites the results.
        return dict(
            zip(self._sizes, self._flat.clone().split([*self._sizes.values()]), strict=True)
        )

    def _warm_up(self, inputs: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Run the function on another stream, as a recording does."""
        stream = torch.cuda.Stream(self._device)
        stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(stream):
            found = self._function(*(x.to(self._device, non_blocking=True) for x in inputs))
        torch.cuda.current_stream(self._device).wait_stream(stream)
        return found

    def _record(self, inputs: tuple[Tensor, ...]) -> torch.cuda.CUDAGraph:
        self._inputs = [x.to(self._device, copy=True) for x in inputs]
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            found = self._function(*self._inputs)
            self._flat = torch.cat(list(found.values()))
        self._sizes = {name: len(x) for name, x in found.items()}
        return graph
