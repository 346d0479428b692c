"""A plan: every layer of a 2D network and what would become of it, to look at, change and apply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor, nn

from ._convert import OnUnsupported, check_network, check_on_unsupported, convert
from ._depth import DepthPadding, SameOr
from ._forecast import Forecast
from ._in_channels import adapt_stem, with_channels
from ._plan_json import plan_to_json, rules_from_json
from ._plan_layer import LayerPlan
from ._plan_table import summary, table
from ._receptive_field import ReceptiveField
from ._rehearsal import rehearse, without_data
from ._rules import AnyStrategy, LayerRules, Override, RuleBook
from ._spacing import Spacing, check_spacing, rules_by_spacing
from ._strategies import resolve_strategy
from .errors import ShapeMismatchError


@dataclass(frozen=True)
class InflationPlan:
    """What `inflate` would do, layer by layer.

    Attributes:
        layers: a row per layer, in the order of the network's modules.
        defaults: the rules of modules that have no row.
        in_channels: of the 3D network; None: as in 2D.
        spacing_mm: of its volumes, (z, y, x); None: not given.
        on_unsupported: what `apply` does about refused modules.
        forecast: the strongest contract that can hold, and which layer spoils the next one.
        receptive_field: of the network's output, along (depth, height, width); None where layers
            are refused.
        problem: why the converted network does not run, "" where it does.
    """

    layers: tuple[LayerPlan, ...]
    defaults: LayerRules
    in_channels: int | None
    spacing_mm: Spacing | None
    on_unsupported: OnUnsupported
    forecast: Forecast
    receptive_field: ReceptiveField | None
    problem: str
    _network: nn.Module = field(repr=False, compare=False)
    _example: Tensor = field(repr=False, compare=False)

    @property
    def refused(self) -> tuple[LayerPlan, ...]:
        """The rows that `apply` will raise for."""
        return tuple(row for row in self.layers if row.action == "refused")

    def apply(self, net2d: nn.Module) -> nn.Module:
        """The 3D network.

        Args:
            net2d: the network that was planned for, or another with the same layers.

        Raises:
            UnsupportedLayerError, UnsupportedFunctionError: modules are refused, all are named.
            ShapeMismatchError: `net2d` has other layers.
        """
        adapted = adapt_stem(net2d, self.in_channels, self._example)
        book = RuleBook(self.defaults, {}, self._rules())
        converted = convert(adapted, book, with_channels(self._example, self.in_channels))
        modules = dict(net2d.named_modules(remove_duplicate=False))
        found = {name: type(modules[name]).__name__ for name in converted.layers}
        _check_layers({row.name: row.kind for row in self.layers}, found)
        return converted.net3d

    def edit(
        self,
        glob: str,
        *,
        strategy: AnyStrategy | None = None,
        depth_kernel: SameOr | None = None,
        depth_stride: SameOr | None = None,
        depth_padding: DepthPadding | None = None,
    ) -> InflationPlan:
        """A new plan with other rules for the layers that a glob names, as for `overrides`.

        Raises:
            StrategyError: it names no layer, or the strategy is unknown.
            InflationError: a value is out of range.

        Example:
            >>> plan = plan_inflation(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1)))
            >>> plan.edit("0", strategy="zero").forecast.contract
            'slicewise'
        """
        override = Override(strategy, depth_kernel, depth_stride, depth_padding)
        book = RuleBook(self.defaults, {glob: override}, self._rules())
        return self._replanned(book)

    def to_json(self) -> str:
        """The plan as JSON, which `from_json` reads.

        Under "layers" stand the rules, which may be edited; everything under "result" follows from
        them and is written for readers only.

        Raises:
            StrategyError: a strategy of a foreign type has no JSON form.
        """
        return plan_to_json(self)

    @classmethod
    def from_json(
        cls,
        text: str,
        net2d: nn.Module,
        *,
        example: Float[Tensor, "batch channel height width"] | None = None,
    ) -> InflationPlan:
        """The plan that `to_json` has written, for a network with the same layers.

        Args:
            text: what `to_json` returned, with edited rules or not.
            net2d: the 2D network; not touched, only its shapes are kept.
            example: a batch that it accepts; made up by default.

        Raises:
            InflationError: no plan, of another version, or a value out of range.
            ShapeMismatchError: `net2d` has other layers than the plan.
        """
        stored = rules_from_json(text)
        bare, slices = without_data(net2d, example)
        book = RuleBook(stored.defaults, {}, stored.rules)
        plan = _plan(
            bare, slices, book, stored.in_channels, stored.spacing_mm, stored.on_unsupported
        )
        _check_layers(stored.kinds, {row.name: row.kind for row in plan.layers})
        return plan

    def table(self) -> str:
        """A line per layer: 2D geometry, depth geometry, strategy, action, contract."""
        return table(self.layers)

    def summary(self) -> str:
        """Counts of the actions, the forecast, the receptive field, what is refused and why."""
        return summary(self)

    def __str__(self) -> str:
        return f"{self.table()}\n\n{self.summary()}"

    def _rules(self) -> dict[str, LayerRules]:
        return {row.name: row.rules for row in self.layers}

    def _replanned(self, book: RuleBook) -> InflationPlan:
        return _plan(
            self._network,
            self._example,
            book,
            self.in_channels,
            self.spacing_mm,
            self.on_unsupported,
        )


def plan_inflation(
    net2d: nn.Module,
    strategy: AnyStrategy = "average",
    *,
    depth_kernel: SameOr = "same",
    depth_stride: SameOr = "same",
    depth_padding: DepthPadding = "replicate",
    in_channels: int | None = None,
    spacing_mm: Spacing | None = None,
    overrides: Mapping[str, AnyStrategy | Override] | None = None,
    on_unsupported: OnUnsupported = "raise",
    example: Float[Tensor, "batch channel height width"] | None = None,
) -> InflationPlan:
    """What `inflate` would do with these arguments, without touching a weight.

    A network with refused layers can be planned too: their rows say why, and `apply` raises.

    Args:
        net2d: the 2D network.
        strategy: what becomes of the filters, see `inflate` for this and all the rest.
        depth_kernel: taps of every filter that is not 1x1.
        depth_stride: wherever the network strides.
        depth_padding: "replicate" or "zeros".
        in_channels: of the 3D network.
        spacing_mm: of the volumes, (z, y, x).
        overrides: other rules by name.
        on_unsupported: what is done about modules that have no 3D form.
        example: a batch that the network accepts.

    Raises:
        StrategyError, InflationError: as `inflate` does for its arguments.

    Example:
        >>> plan = plan_inflation(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU()))
        >>> print(plan)
        layer  type    in the plane  along depth     strategy  action    contract
        0      Conv2d  3->8 3x3 p1   3 p1 replicate  Average   inflated  constant_volume
        1      ReLU                                            kept      slicewise
        <BLANKLINE>
        2 layers: 1 inflated, 1 kept
        forecast: constant_volume: '0' mixes 3 slices (Average)
        receptive field: depth 3, height 3, width 3 voxels
    """
    check_network(net2d)
    rules = LayerRules(resolve_strategy(strategy), depth_kernel, depth_stride, depth_padding)
    bare, slices = without_data(net2d, example)
    spacing = None if spacing_mm is None else check_spacing(spacing_mm)
    by_name = rules_by_spacing(bare, slices, spacing, rules) if spacing else {}
    book = RuleBook(rules, overrides or {}, by_name)
    return _plan(bare, slices, book, in_channels, spacing, check_on_unsupported(on_unsupported))


def _plan(
    bare: nn.Module,
    slices: Tensor,
    book: RuleBook,
    in_channels: int | None,
    spacing_mm: Spacing | None,
    on_unsupported: OnUnsupported,
) -> InflationPlan:
    adapted = adapt_stem(bare, in_channels, slices)
    found = rehearse(adapted, book, with_channels(slices, in_channels), on_unsupported)
    return InflationPlan(
        found.layers,
        book.defaults,
        in_channels,
        spacing_mm,
        on_unsupported,
        found.forecast,
        found.receptive_field,
        found.problem,
        bare,
        slices,
    )


def _check_layers(planned: Mapping[str, str], found: Mapping[str, str]) -> None:
    for name in {**planned, **found}:
        if planned.get(name) != found.get(name):
            raise ShapeMismatchError(
                f"{name!r} is {planned.get(name, 'nothing')} in the plan and "
                f"{found.get(name, 'nothing')} in net2d: plan_inflation this network anew"
            )
