"""Everything that tomolift.inflation raises for a network, a file or an argument it cannot take."""

from __future__ import annotations


class InflationError(ValueError):
    """Base of all errors of this package; the message is one line and ends with the cure."""


class StrategyError(InflationError):
    """A strategy is unknown, its numbers break the rules, or it has no taps for a kernel."""


class UnsupportedLayerError(InflationError):
    """A layer has no known 3D twin; the message names it by its dotted name."""


class UnsupportedFunctionError(InflationError):
    """A function call inside a `forward` only works in 2D; the message names file and line."""


class ShapeMismatchError(InflationError):
    """Tensors, names or outputs of the 2D and the 3D side do not belong together."""


class DepthCollapsedError(InflationError):
    """The volume has fewer slices than the network's depth kernels need."""


class ContractError(InflationError):
    """A checked network does not keep the contract that was asked for."""


class WeightsFileError(InflationError):
    """A weights file cannot be read or may not be written; the message names it."""
