"""One row of a plan: what a layer is in 2D, and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from ._depth import DepthGeometry
from ._forecast import LayerForecast, forecast_layer
from ._rules import LayerRules
from .layers import AcsConv3d, TwoPlusOneConv3d

Action = Literal["inflated", "copied", "kept", "reset", "rewritten", "slicewise", "refused"]


@dataclass(frozen=True)
class LayerPlan:
    """What becomes of one layer, or of a module whose own forward is changed.

    Attributes:
        name: dotted name; "" is the network itself.
        kind: its type's name in 2D.
        rules: what decides; `InflationPlan.edit` changes them.
        action: "inflated": gets a depth; "copied": its values stay as they are; "kept": serves
            both ranks and holds no values; "reset": a strategy that keeps nothing starts its
            values anew; "rewritten": calls in its forward are rewritten; "slicewise": works slice
            by slice; "refused": has no 3D form.
        plane: its 2D geometry, "" where it has none.
        depth: kernel, stride, padding and dilation along depth; None where it has no window, or
            no 3D form.
        depth_padding: what its padding along depth holds; "" without padding.
        forecast: what it keeps of the 2D layer.
        has_new_values: whether the strategy decides its values.
        reason: why it is refused, else "".
    """

    name: str
    kind: str
    rules: LayerRules
    action: Action
    plane: str
    depth: DepthGeometry | None
    depth_padding: str
    forecast: LayerForecast
    has_new_values: bool = False
    reason: str = ""


def plan_layer(name: str, module: nn.Module, twin: nn.Module, rules: LayerRules) -> LayerPlan:
    """The row of a layer that has a 3D twin."""
    depth, action = _depth(twin), _action(module, twin, rules)
    padded = depth is not None and depth.padding != (0, 0) and "Pool" not in type(twin).__name__
    return LayerPlan(
        name=name,
        kind=type(module).__name__,
        rules=rules,
        action=action,
        plane=describe_plane(module),
        depth=depth,
        depth_padding=getattr(twin, "depth_padding", "zeros") if padded else "",
        forecast=forecast_layer(twin, rules.strategy),
        has_new_values=action in ("inflated", "reset") and bool(module.state_dict()),
    )


def plan_exception(
    name: str, module: nn.Module, rules: LayerRules, action: Action, reason: str = ""
) -> LayerPlan:
    """The row of a module that is rewritten, works slice by slice, or is refused."""
    kept = {"slicewise": "slicewise", "rewritten": "constant_volume"}.get(action)
    forecast = LayerForecast(
        kept,  # type: ignore[arg-type]
        f"is {action}" if action != "slicewise" else "",
        known=action != "rewritten",
    )
    kind = type(module).__name__
    plane = describe_plane(module)
    return LayerPlan(name, kind, rules, action, plane, None, "", forecast, reason=reason)


def describe_plane(module: nn.Module) -> str:
    """The 2D geometry in a few characters.

    Example:
        >>> describe_plane(nn.Conv2d(3, 8, 7, stride=2, padding=3))
        '3->8 7x7 /2 p3'
        >>> describe_plane(nn.BatchNorm2d(64))
        '64'
    """
    parts = []
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        parts.append(f"{module.in_channels}->{module.out_channels}")
    for attribute, word in (
        ("kernel_size", "{}"),
        ("stride", "/{}"),
        ("padding", "p{}"),
        ("dilation", "d{}"),
        ("groups", "g{}"),
        ("output_size", "to {}"),
        ("scale_factor", "x{}"),
        ("mode", "{}"),
        ("num_features", "{}"),
        ("num_channels", "{}"),
    ):
        value = getattr(module, attribute, None)
        neutral = 0 if attribute == "padding" else 1
        shown = _short(value, always_pair=attribute in ("kernel_size", "output_size"))
        if value is not None and shown != str(neutral):
            parts.append(word.format(shown))
    return " ".join(parts)


def describe_depth(row: LayerPlan) -> str:
    """The depth geometry in a few characters: taps, stride, padding, dilation."""
    if row.depth is None:
        return ""
    depth = row.depth
    before, behind = depth.padding
    pads = f"p{before}" if before == behind else f"p{before}+{behind}"
    parts = [
        str(depth.kernel),
        f"/{depth.stride}" if depth.stride != 1 else "",
        f"{pads} {row.depth_padding}".rstrip() if (before, behind) != (0, 0) else "",
        f"d{depth.dilation}" if depth.dilation != 1 and depth.kernel > 1 else "",
    ]
    return " ".join(part for part in parts if part)


def _action(module: nn.Module, twin: nn.Module, rules: LayerRules) -> Action:
    before = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    after = {name: tuple(value.shape) for name, value in twin.state_dict().items()}
    if before != after or isinstance(twin, AcsConv3d):  # its flat filters are turned at each call
        return "inflated"
    if before and not rules.strategy.keeps_source:
        return "reset"
    if before:
        return "copied"
    return "kept" if type(module) is type(twin) else "inflated"


def _depth(twin: nn.Module) -> DepthGeometry | None:
    if isinstance(twin, TwoPlusOneConv3d):
        return twin.across
    kernel, stride = getattr(twin, "kernel_size", None), getattr(twin, "stride", None)
    if kernel is None or stride is None:
        return None
    taps = _along_depth(kernel)
    dilation = _along_depth(getattr(twin, "dilation", 1))
    own = getattr(twin, "depth_pads", None) or getattr(twin, "depth_crop", None)
    padding = getattr(twin, "padding", 0)
    if own is None and padding == "same":
        reach = dilation * (taps - 1)
        own = (reach // 2, reach - reach // 2)
    cells = 0 if isinstance(padding, str) else _along_depth(padding)
    return DepthGeometry(taps, _along_depth(stride), own or (cells, cells), dilation)


def _along_depth(value: Any) -> int:
    return int(value[0] if isinstance(value, tuple) else value)


def _short(value: Any, *, always_pair: bool = False) -> str:
    """A pair of equal numbers as one, sizes as HxW."""
    if isinstance(value, tuple | list):
        if len(set(value)) == 1 and not always_pair:
            return _short(value[0])
        return "x".join(map(str, value))
    if always_pair and isinstance(value, int):
        return f"{value}x{value}"
    return f"{value:g}" if isinstance(value, float) else str(value)
