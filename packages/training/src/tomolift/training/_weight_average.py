"""The exponential moving average of a network's weights: what is evaluated and kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """A running average of a network's floating-point state, buffers included.

    Step n mixes with min(decay, (1 + n) / (10 + n)): a short training would otherwise keep its
    initial weights. Counters, such as BatchNorm's, are the network's own.
    """

    def __init__(self, network: nn.Module, *, decay: float) -> None:
        self._decay = decay
        self._updates = 0
        self._state = {name: value.detach().clone() for name, value in _floating(network).items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Mix in the weights after an optimiser's step."""
        self._updates += 1
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        for name, value in _floating(network).items():
            self._state[name].lerp_(value, 1 - decay)

    @contextmanager
    def applied(self, network: nn.Module) -> Iterator[None]:
        """The network with the averaged weights; its own come back afterwards, bit for bit."""
        own = {name: value.detach().clone() for name, value in _floating(network).items()}
        self.copy_to(network)
        try:
            yield
        finally:
            _copy(own, network)

    def copy_to(self, network: nn.Module) -> None:
        """Give the network the averaged weights for good."""
        _copy(self._state, network)

    def to_tensors(self) -> dict[str, Tensor]:
        """Everything a checkpoint needs."""
        return {**self._state, "updates": torch.tensor(self._updates)}

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `to_tensors`, in place.

        Raises:
            KeyError: a tensor is missing.
        """
        self._updates = int(tensors["updates"])
        for name, value in self._state.items():
            value.copy_(tensors[name])


def _floating(network: nn.Module) -> dict[str, Tensor]:
    return {
        name: value for name, value in network.state_dict().items() if value.is_floating_point()
    }


@torch.no_grad()
def _copy(state: Mapping[str, Tensor], network: nn.Module) -> None:
    for name, value in _floating(network).items():
        value.copy_(state[name])
