"""Which contract a conversion can keep, judged layer by layer before any number is computed.

Calls in a `forward` are not judged, nor are layers of foreign types: `check_inflation` measures.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from torch import nn

from ._report import CONTRACTS, Contract
from ._strategies import Center, Strategy, TapStrategy
from .layers import AcsConv3d, DepthExactAvgPool3d, TwoPlusOneConv3d

_CONVOLUTIONS = (nn.Conv3d, nn.ConvTranspose3d)
_POOLS = (nn.MaxPool3d, nn.AvgPool3d)
_ADAPTIVE = (nn.AdaptiveAvgPool3d, nn.AdaptiveMaxPool3d)
_OVER_POSITIONS = (nn.GroupNorm, nn.Flatten, nn.MultiheadAttention, nn.TransformerEncoderLayer)


@dataclass(frozen=True)
class LayerForecast:
    """What one 3D layer keeps in eval mode.

    Attributes:
        contract: the strongest it keeps by itself; None: none.
        reason: why it is not the strongest, "" where it is.
        couples: whether each of its answers depends on all slices (design fact F8).
        known: whether its type is one that can be judged; `contract` is a guess otherwise.
    """

    contract: Contract | None
    reason: str = ""
    couples: bool = False
    known: bool = True


@dataclass(frozen=True)
class Forecast:
    """The strongest contract that a converted network can keep.

    Attributes:
        contract: None where no contract can hold.
        spoiler: dotted name of the first layer that rules out the next stronger one; None for
            "slicewise".
        reason: what that layer does.
        unknown: names of layers of foreign types, taken for exact.
    """

    contract: Contract | None
    spoiler: str | None
    reason: str
    unknown: tuple[str, ...] = ()

    def __str__(self) -> str:
        head = self.contract or "no contract"
        why = "" if self.spoiler is None else f": {self.spoiler or 'the network itself'!r}"
        lines = [f"forecast: {head}{why} {self.reason}".rstrip()]
        if self.unknown:
            names = ", ".join(map(repr, self.unknown))
            lines.append(f"not judged: {names}, of foreign types; check_inflation measures them")
        return "\n".join(lines)


def forecast_network(layers: Iterable[tuple[str, LayerForecast]]) -> Forecast:
    """The weakest contract of the layers, in the order in which they stand in the network.

    A layer that couples all slices behind one that spoils the ends leaves no exact slice.
    """
    contract: Contract | None = "slicewise"
    spoiler, reason, unknown = None, "", []
    for name, layer in layers:
        kept = layer.contract
        if not layer.known:
            unknown.append(name)
        if layer.couples and contract == "interior_only":
            kept, why = None, f"spreads over all slices what {spoiler!r} spoils at the ends"
        else:
            why = layer.reason
        if _strength(kept) < _strength(contract):
            contract, spoiler, reason = kept, name, why
    return Forecast(contract, spoiler, reason, tuple(unknown))


def forecast_layer(twin: nn.Module, strategy: Strategy) -> LayerForecast:
    """What a 3D layer keeps."""
    if not strategy.keeps_source and twin.state_dict():
        return LayerForecast(None, f"keeps nothing of the 2D network ({type(strategy).__name__})")
    if isinstance(twin, AcsConv3d) and twin.kernel_size[0] > 1:
        return LayerForecast(None, "turns filters around, out of the slice")
    if isinstance(twin, TwoPlusOneConv3d):
        across, replicates = twin.across, twin.depth_padding == "replicate"
        return _mixing(across.kernel, across.padding, Center(), replicates=replicates)
    if isinstance(twin, _CONVOLUTIONS):
        return _convolution(twin, strategy)
    if isinstance(twin, _POOLS):
        return _pool(twin)
    if isinstance(twin, _ADAPTIVE):
        if isinstance(twin.output_size, tuple) and twin.output_size[0] is None:
            return LayerForecast("slicewise")
        return LayerForecast("constant_volume", "takes in the whole depth", couples=True)
    if isinstance(twin, nn.Upsample):
        scale = twin.scale_factor
        along_depth = scale[0] if isinstance(scale, tuple) else scale
        return _unless(along_depth == 1, "makes slices between slices")
    if isinstance(twin, nn.InstanceNorm3d):
        same = twin.track_running_stats
        return _unless(same, "takes its statistics from all slices", couples=not same)
    if isinstance(twin, _OVER_POSITIONS):
        return LayerForecast("constant_volume", "takes in all slices", couples=True)
    return LayerForecast("slicewise", known=type(twin).__module__.startswith("torch."))


def _convolution(twin: nn.Conv3d | nn.ConvTranspose3d, strategy: Strategy) -> LayerForecast:
    taps, stride = twin.kernel_size[0], twin.stride[0]
    transposed = isinstance(twin, nn.ConvTranspose3d)
    if taps == 1 and not (transposed and stride > 1):
        return LayerForecast("slicewise")
    own_pads = getattr(twin, "depth_pads", None) or getattr(twin, "depth_crop", None)
    pads = own_pads or _first(twin.padding, taps - 1)
    replicates = getattr(twin, "depth_padding", "zeros") == "replicate"
    if transposed:
        exact_ends = replicates or taps == stride
        reason = f"mixes {taps} slices ({type(strategy).__name__})"
        return LayerForecast("constant_volume" if exact_ends else "interior_only", reason)
    return _mixing(taps, pads, strategy, replicates=replicates)


def _mixing(
    taps: int, pads: tuple[int, int], strategy: Strategy, *, replicates: bool
) -> LayerForecast:
    """What a convolution of several taps in depth keeps."""
    if taps % 2 and pads[0] == pads[1] and _is_centre(strategy, taps):
        return LayerForecast("slicewise")
    reason = f"mixes {taps} slices ({type(strategy).__name__})"
    if replicates or pads == (0, 0):
        return LayerForecast("constant_volume", reason)
    return LayerForecast("interior_only", f"{reason} and pads the ends with zeros")


def _is_centre(strategy: Strategy, taps: int) -> bool:
    if not isinstance(strategy, TapStrategy):
        return False
    return bool((strategy.taps(taps) == Center().taps(taps)).all())


def _pool(twin: nn.MaxPool3d | nn.AvgPool3d) -> LayerForecast:
    taps = _first(twin.kernel_size, 1)[0]
    if taps == 1:
        return LayerForecast("slicewise")
    counts_zeros = (
        isinstance(twin, nn.AvgPool3d)
        and not isinstance(twin, DepthExactAvgPool3d)
        and twin.count_include_pad
        and _first(twin.padding, 0)[0] > 0
    )
    if counts_zeros:
        return LayerForecast("interior_only", f"pools {taps} slices and zeros beyond the ends")
    return LayerForecast("constant_volume", f"pools {taps} slices")


def _first(value: object, keyword: int) -> tuple[int, int]:
    """Cells before and behind along depth; `keyword` cells in all where it is a word ("same")."""
    if isinstance(value, str):
        return (keyword // 2, keyword - keyword // 2) if value == "same" else (0, 0)
    cells = cast(int, value[0] if isinstance(value, tuple) else value)
    return cells, cells


def _unless(slicewise: bool, reason: str, *, couples: bool = False) -> LayerForecast:
    if slicewise:
        return LayerForecast("slicewise")
    return LayerForecast("constant_volume", reason, couples=couples)


def _strength(contract: Contract | None) -> int:
    return 0 if contract is None else len(CONTRACTS) - CONTRACTS.index(contract)
