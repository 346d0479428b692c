"""How each layer is to be inflated: the call's arguments, and what overrides change by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase

from torch import nn

from ._depth import DepthPadding, Layer, SameOr
from ._strategies import Strategy, resolve_strategy
from .errors import InflationError, StrategyError

AnyStrategy = str | Strategy


@dataclass(frozen=True)
class LayerRules:
    """The rules of one layer, or of a whole call; see `inflate` for their meaning.

    Raises:
        InflationError: a value is out of range.
    """

    strategy: Strategy
    depth_kernel: SameOr = "same"
    depth_stride: SameOr = "same"
    depth_padding: DepthPadding = "replicate"

    def __post_init__(self) -> None:
        for argument in ("depth_kernel", "depth_stride"):
            value = getattr(self, argument)
            if value != "same" and (type(value) is not int or value < 1):
                raise InflationError(f"{argument}={value!r}: use 'same' or a number of 1 or more")
        if self.depth_padding not in ("zeros", "replicate"):
            raise InflationError(
                f"depth_padding={self.depth_padding!r}: use 'zeros' or 'replicate'"
            )


@dataclass(frozen=True)
class Override:
    """What differs at the layers that a glob names; None leaves the call's own argument.

    Example:
        >>> from tomolift.inflation import Override, inflate
        >>> net2d = nn.Sequential(nn.Conv2d(3, 8, 7, padding=3), nn.Conv2d(8, 8, 3, padding=1))
        >>> inflate(net2d, overrides={"0": Override(depth_kernel=3)})[0].kernel_size
        (3, 7, 7)
    """

    strategy: AnyStrategy | None = None
    depth_kernel: SameOr | None = None
    depth_stride: SameOr | None = None
    depth_padding: DepthPadding | None = None

    def over(self, rules: LayerRules) -> LayerRules:
        """`rules` with what this override sets."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        changes = {name: value for name, value in given.items() if value is not None}
        if self.strategy is not None:
            changes["strategy"] = resolve_strategy(self.strategy)
        return replace(rules, **changes)


class RuleBook:
    """The rules of every layer of one call.

    Args:
        defaults: rules of layers that nothing else names.
        overrides: by glob over dotted names; the first counts that matches a layer's name or that
            of a module around it.
        by_name: rules of single layers, which count where no override does.
    """

    def __init__(
        self,
        defaults: LayerRules,
        overrides: Mapping[str, AnyStrategy | Override],
        by_name: Mapping[str, LayerRules],
    ) -> None:
        self.defaults = defaults
        self._by_name = by_name
        self._overrides = {
            glob: value if isinstance(value, Override) else Override(resolve_strategy(value))
            for glob, value in overrides.items()
        }
        self._memory = Layer(
            "",
            defaults.strategy,
            defaults.depth_kernel,
            defaults.depth_stride,
            defaults.depth_padding,
        )

    def rules(self, name: str) -> LayerRules:
        """The rules of the module of this name."""
        own = self._by_name.get(name, self.defaults)
        glob = self._glob(name)
        return own if glob is None else self._overrides[glob].over(own)

    def layer(self, name: str) -> Layer:
        """What a registered function is given; all of them share the memory of shared filters."""
        rules = self.rules(name)
        return replace(
            self._memory,
            name=name,
            strategy=rules.strategy,
            depth_kernel=rules.depth_kernel,
            depth_stride=rules.depth_stride,
            depth_padding=rules.depth_padding,
        )

    def check_used(self, layers: Iterable[str]) -> None:
        """An override that decides none of these layers is a mistake."""
        unused = self._overrides.keys() - {self._glob(name) for name in layers}
        if unused:
            raise StrategyError(
                f"overrides: {min(unused)!r} decides no layer: use a dotted name of "
                "named_modules() or a glob over them, before the globs that match the same layers"
            )

    def check_shared(self, net2d: nn.Module) -> None:
        """A parameter under several names is inflated once, a shared module has one geometry."""
        first: dict[int, tuple[str, nn.Module]] = {}
        modules = dict(net2d.named_modules(remove_duplicate=False))
        for name, parameter in net2d.named_parameters(remove_duplicate=False):
            module, _, leaf = name.rpartition(".")
            other, owner = first.setdefault(id(parameter), (module, modules[module]))
            given, taken = self.rules(module), self.rules(other)
            if given.strategy != taken.strategy:
                raise StrategyError(
                    f"overrides: {module!r} shares its {leaf!r} with {other!r}, but is given "
                    f"{given.strategy} and that {taken.strategy}: give both the same strategy"
                )
            if owner is modules[module] and given != taken:
                raise StrategyError(
                    f"overrides: {module!r} is the same module as {other!r}, but their depth "
                    "kernel, stride or padding differ: give both the same"
                )

    def _glob(self, name: str) -> str | None:
        """The override that decides the module of this name."""
        parts = name.split(".")
        around = [".".join(parts[:length]) for length in range(1, len(parts) + 1)]
        for glob in self._overrides:
            if any(fnmatchcase(each, glob) for each in around):
                return glob
        return None
