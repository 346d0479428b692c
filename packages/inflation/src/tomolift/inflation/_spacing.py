"""Depth kernels and strides by voxel spacing: thick slices are not mixed before it is due.

Source: the rule by which nnU-Net configures its kernels and strides (Isensee et al. 2021): an axis
joins in once its spacing is no longer far above the finest one's, here "more than twice".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ._receptive_field import FieldTracer
from ._rules import LayerRules
from .errors import InflationError, UnsupportedFunctionError

Spacing = tuple[float, float, float]
# (rows, columns) of the input from one cell to the next
_Jump = tuple[float, ...]
# A ratio of exactly 2 may come out as 2.0000000000000004 from a header's millimetres.
_TWICE = 2 * (1 + 1e-6)


@dataclass(frozen=True)
class Level:
    """One resolution of a network.

    Attributes:
        in_plane_mm: the finer of its spacings in the plane.
        depth_mm: its spacing between slices.
        slices: slices of the volume from one cell to the next.
    """

    in_plane_mm: float
    depth_mm: float
    slices: float

    @property
    def mixes_slices(self) -> bool:
        """Whether a depth kernel or stride is due here."""
        return self.depth_mm <= _TWICE * self.in_plane_mm


def check_spacing(spacing_mm: Iterable[float]) -> Spacing:
    """The spacing as three numbers.

    Raises:
        InflationError: it is not three positive finite numbers.
    """
    values = tuple(spacing_mm)
    if len(values) != 3 or not all(0 < value < math.inf for value in values):
        raise InflationError(
            f"spacing_mm={values}: give three positive numbers of millimetres, (z, y, x)"
        )
    return values


def rules_by_spacing(
    net2d: nn.Module, slices: Tensor, spacing_mm: Spacing, defaults: LayerRules
) -> dict[str, LayerRules]:
    """Rules of every layer that runs: no depth kernel or stride before the level mixes slices.

    A level is a resolution in the plane. Going down from one that mixes slices, the depth shrinks
    as the plane does; going up, it grows by what going down had taken, so that skips fit.

    Args:
        net2d: the 2D network; best without storage, since only shapes are looked at.
        slices: a batch that it accepts.
        spacing_mm: of the volumes, (z, y, x).
        defaults: what holds where slices are mixed.

    Raises:
        InflationError: a layer runs at levels that need different depth strides.
        UnsupportedFunctionError: a container's own forward strides, where no rule can reach it.
    """
    watch = _Watch(net2d, slices)
    watch.run()
    levels = levels_of(watch.jumps(), spacing_mm, defaults)
    return {name: _rules(name, runs, levels, defaults) for name, runs in watch.runs.items()}


def levels_of(
    jumps: Iterable[_Jump], spacing_mm: Spacing, defaults: LayerRules
) -> Mapping[_Jump, Level]:
    """The levels of a network, from the finest to the coarsest.

    Example:
        >>> from tomolift.inflation import Average
        >>> jumps = [(1.0, 1.0), (2.0, 2.0), (4.0, 4.0), (8.0, 8.0)]
        >>> for level in levels_of(jumps, (5.0, 1.0, 1.0), LayerRules(Average())).values():
        ...     print(level, level.mixes_slices)
        Level(in_plane_mm=1.0, depth_mm=5.0, slices=1.0) False
        Level(in_plane_mm=2.0, depth_mm=5.0, slices=1.0) False
        Level(in_plane_mm=4.0, depth_mm=5.0, slices=1.0) True
        Level(in_plane_mm=8.0, depth_mm=10.0, slices=2.0) True
    """
    z, y, x = spacing_mm
    in_plane = {jump: min(y * jump[0], x * jump[1]) for jump in jumps}
    levels: dict[_Jump, Level] = {}
    above: Level | None = None
    for jump in sorted(in_plane, key=in_plane.__getitem__):
        slices = 1.0
        if above is not None:
            down = in_plane[jump] / above.in_plane_mm
            if down > 1 and above.mixes_slices and defaults.depth_stride != "same":
                down = defaults.depth_stride
            slices = above.slices * (down if above.mixes_slices and min(jump) > 1 else 1.0)
        above = levels[jump] = Level(in_plane[jump], z * slices, slices)
    return levels


def _rules(
    name: str,
    runs: set[tuple[_Jump, _Jump]],
    levels: Mapping[_Jump, Level],
    defaults: LayerRules,
) -> LayerRules:
    strides = set()
    for before, after in runs:
        ratio = levels[after].slices / levels[before].slices
        strides.add(max(1, round(max(ratio, 1 / ratio))))
    if len(strides) > 1:
        raise InflationError(
            f"spacing_mm: {name!r} runs at levels that need depth strides "
            f"{' and '.join(map(str, sorted(strides)))}: give each level its own layer, or leave "
            "spacing_mm out"
        )
    mixes = all(levels[before].mixes_slices for before, _ in runs)
    return replace(
        defaults, depth_kernel=defaults.depth_kernel if mixes else 1, depth_stride=strides.pop()
    )


class _Watch(FieldTracer):
    """Runs a 2D network and notes at which resolutions each of its layers works."""

    def __init__(self, net2d: nn.Module, slices: Tensor) -> None:
        super().__init__(slices)
        self._net, self._slices = net2d, slices
        self._names = {module: name for name, module in net2d.named_modules()}
        self._running: list[nn.Module] = []
        self.runs: dict[str, set[tuple[_Jump, _Jump]]] = {}

    def jumps(self) -> set[_Jump]:
        """All resolutions, the input's among them."""
        return {(1.0, 1.0)} | {jump for runs in self.runs.values() for run in runs for jump in run}

    def run(self) -> None:
        """Run the network once."""
        handles = [module.register_forward_pre_hook(self._enter) for module in self._names]
        handles += [
            module.register_forward_hook(self._leave, with_kwargs=True) for module in self._names
        ]
        try:
            with torch.device(self._slices.device), torch.no_grad(), self:
                self._net(self._slices)
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, module: nn.Module, args: Any) -> None:
        self._running.append(module)

    def _leave(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        self._running.pop()
        before, after = self.of([args, kwargs]), self.of(output)
        if before and after and not list(module.children()):
            self.runs.setdefault(self._names[module], set()).add((before.jump, after.jump))

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Refuse a change of resolution by a container's own forward, which no rule can reach."""
        kwargs = kwargs or {}
        before = self.of([args, kwargs])
        result = super().__torch_function__(func, types, args, kwargs)
        after, module = self.of(result), self._running[-1] if self._running else self._net
        if not before or not after or before.jump == after.jump or not list(module.children()):
            return result
        if func is F.interpolate and (kwargs.get("size") or args[1:2] not in ((), (None,))):
            return result  # the size of another tensor, whose depth it then has too
        raise UnsupportedFunctionError(
            f"{self._names[module] or 'the network itself'!r} ({type(module).__name__}.forward) "
            f"calls {func.__name__}, which spacing_mm cannot reach: make it a module such as "
            "nn.MaxPool2d or nn.Upsample, or pass F.interpolate a size"
        )
