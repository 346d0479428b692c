"""What a check of two networks found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch

from .errors import ContractError

Contract = Literal["slicewise", "constant_volume", "interior_only"]
CONTRACTS: tuple[Contract, ...] = get_args(Contract)


@dataclass(frozen=True)
class LayerError:
    """How far one layer's output in 3D is from its output in 2D.

    Attributes:
        name: dotted name; "" is the network itself.
        per_slice: max|3D - 2D| / max|2D| for each slice of the 3D output; empty where the two
            outputs cannot be compared.
    """

    name: str
    per_slice: tuple[float, ...]

    @property
    def worst(self) -> float:
        """The largest error of a slice; NaN where one is."""
        return largest(self.per_slice)

    @property
    def middle(self) -> float:
        """The error of the middle slice, the one farthest from both ends."""
        return self.per_slice[len(self.per_slice) // 2] if self.per_slice else 0.0


@dataclass(frozen=True)
class InflationReport:
    """What `check_inflation` found.

    Attributes:
        contract: the strongest contract that was asked for and holds; None where none does.
        asked: the argument `contract`.
        depth: number of slices of the volume.
        tolerance: the largest error that passes.
        layers: for the contract that holds, or the weakest one tried: every layer in the order
            in which the 3D network finishes them, the network itself last.
    """

    contract: Contract | None
    asked: str
    depth: int
    tolerance: float
    layers: tuple[LayerError, ...]

    @property
    def passed(self) -> bool:
        """Whether a contract that was asked for holds."""
        return self.contract is not None

    @property
    def output(self) -> LayerError:
        """The error of the network's output."""
        return self.layers[-1]

    @property
    def first_culprit(self) -> str | None:
        """The first layer above the tolerance (in its middle slice for interior_only)."""
        if self.asked == "interior_only" or self.contract == "interior_only":
            return next((e.name for e in self.layers if not e.middle <= self.tolerance), None)
        return next((e.name for e in self.layers if not e.worst <= self.tolerance), None)

    def require(self) -> InflationReport:
        """This report, or a ContractError that names the first culprit."""
        if not self.passed:
            raise ContractError(self.summary())
        return self

    def table(self) -> str:
        """A line per layer: error of its worst and of its middle slice, and its name."""
        lines = [f"{e.worst:9.1e} {e.middle:9.1e}  {e.name or '(output)'}" for e in self.layers]
        return "\n".join([f"{'worst':>9} {'middle':>9}  layer", *lines])

    def summary(self) -> str:
        """The result in one line."""
        worst, middle = self.output.worst, self.output.middle
        measured = f"output error {worst:.1e}, middle slice {middle:.1e}, depth {self.depth}"
        if self.contract == "interior_only":
            return f"contract interior_only holds: {measured}; the ends differ from the 2D network"
        if self.contract is not None:
            return f"contract {self.contract} holds at every slice: {measured}"
        subject = "no contract holds" if self.asked == "auto" else f"{self.asked} does not hold"
        return (
            f"{subject} to {self.tolerance:g}: {measured}, first culprit "
            f"{self.first_culprit!r}: use depth_padding='replicate', a greater depth, or look at "
            "that layer"
        )


def largest(errors: tuple[float, ...]) -> float:
    """The maximum, or NaN where one is NaN, which Python's `max` may pass over."""
    return torch.tensor(errors, dtype=torch.float64).max().item() if errors else 0.0
