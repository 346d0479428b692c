"""The gradient of one optimiser step over several batches."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


class GradientMean:
    """Gradients of the mean loss over all valid voxels of the batches added.

    The mean of the batches' means would weigh a voxel by how many its batch happens to have. The
    number of all is known after the last batch only, so gradients are taken as if the first were
    all, which keeps their size, and are corrected by one factor at the end; a single batch's are
    untouched, bit for bit.
    """

    def __init__(self, optimiser: torch.optim.Optimizer) -> None:
        self._optimiser = optimiser
        self._first = 0
        self._valid = 0

    def add(self, loss_sum: Tensor, valid: int) -> None:
        """Add the gradients of a loss summed over `valid` voxels, 1 or more."""
        if not self._first:
            self._optimiser.zero_grad(set_to_none=True)
            self._first = valid
        (loss_sum / self._first).backward()
        self._valid += valid

    def step(self, learning_rate: float) -> bool:
        """Take the optimiser's step; False where nothing was added since the last."""
        if not self._first:
            return False
        if self._valid != self._first:
            gradients = [value.grad for value in self._parameters() if value.grad is not None]
            torch._foreach_mul_(gradients, self._first / self._valid)
        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate
        self._optimiser.step()
        self._first = self._valid = 0
        return True

    def _parameters(self) -> Iterable[Tensor]:
        return (value for group in self._optimiser.param_groups for value in group["params"])
