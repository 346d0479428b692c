"""A copy of a 2D network whose layers are replaced one by one by their 3D twins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

from torch import Tensor, nn

from ._copy import copy_network
from ._dry_run import dry_run
from ._rules import RuleBook
from .errors import InflationError, UnsupportedLayerError
from .layers import inflate_layer

OnUnsupported = Literal["raise"]


@dataclass(frozen=True)
class Replaced:
    """A network whose layers are replaced, before its forwards are looked at.

    Attributes:
        net3d: the copy; a refused layer stands in it as it was.
        layers: dotted names of the layers that have a twin, or were refused.
        refusals: dotted name -> why the layer has no twin.
    """

    net3d: nn.Module
    layers: tuple[str, ...]
    refusals: Mapping[str, UnsupportedLayerError]


@dataclass(frozen=True)
class Converted:
    """A 3D network that runs, and the names of its layers."""

    net3d: nn.Module
    layers: tuple[str, ...]


def check_network(net2d: object) -> None:
    """The argument of that name is a module."""
    if not isinstance(net2d, nn.Module):
        raise InflationError(f"net2d={net2d!r}: pass the 2D network, an nn.Module")


def check_on_unsupported(value: str) -> OnUnsupported:
    """The argument of that name, checked."""
    for known in get_args(OnUnsupported):
        if value == known:
            return cast(OnUnsupported, known)
    raise InflationError(f"on_unsupported={value!r}: use {' or '.join(get_args(OnUnsupported))}")


def convert(net2d: nn.Module, book: RuleBook, example: Tensor | None) -> Converted:
    """The 3D network.

    Raises:
        UnsupportedLayerError: one error that names every layer without a twin.
        UnsupportedFunctionError, ShapeMismatchError: the dry run fails.
        StrategyError: an override decides no layer, or a strategy has no taps for a kernel.
    """
    replaced = replace_layers(net2d, book)
    if replaced.refusals:
        raise refusal_of_all(replaced.refusals)
    dry_run(net2d, replaced.net3d, example)
    return Converted(replaced.net3d, replaced.layers)


def replace_layers(net2d: nn.Module, book: RuleBook) -> Replaced:
    """Replace every layer of a copy that has a twin, and note those that have none."""
    walk = Walk(lambda module, name: inflate_layer(module, book.layer(name)))
    book.check_shared(net2d)
    net3d = walk.replace(copy_network(net2d), "")
    modules = dict(net2d.named_modules(remove_duplicate=False))
    visited = {id(modules[name]) for name in walk.layers}
    layers = tuple(name for name, module in modules.items() if id(module) in visited)
    book.check_used(layers)
    return Replaced(net3d, layers, walk.refusals)


def refusal_of_all(refusals: Mapping[str, Exception], form: str = "3D") -> UnsupportedLayerError:
    """One error that names all of them; a single one as it is."""
    first, *others = refusals.values()
    if not others:
        return UnsupportedLayerError(str(first))
    reasons = "; ".join(str(each) for each in refusals.values())
    return UnsupportedLayerError(f"{len(refusals)} layers have no {form} form: {reasons}")


class Walk:
    """Replaces layers one by one, and keeps what it has replaced, so that they stay shared.

    Args:
        twin_of: given a layer and its name, its twin; None for a container.
    """

    def __init__(self, twin_of: Callable[[nn.Module, str], nn.Module | None]) -> None:
        self._twin_of = twin_of
        self.layers: list[str] = []
        self.refusals: dict[str, UnsupportedLayerError] = {}
        self._replaced: dict[int, tuple[nn.Module, nn.Module]] = {}

    def replace(self, module: nn.Module, name: str) -> nn.Module:
        """The twin of `module`, which belongs to this walk and is changed."""
        if id(module) not in self._replaced:
            # the original is kept beside its twin, lest its id be given to another module
            self._replaced[id(module)] = (module, self._twin(module, name))
        return self._replaced[id(module)][1]

    def _twin(self, module: nn.Module, name: str) -> nn.Module:
        """The twin of a layer, or a container with twins of its layers."""
        try:
            twin = self._twin_of(module, name)
        except UnsupportedLayerError as refusal:
            self.refusals[name] = refusal
            twin = module
        if twin is not None:
            self.layers.append(name)
            return twin
        for child_name, child in module._modules.items():
            if child is not None:
                dotted = f"{name}.{child_name}" if name else child_name
                module._modules[child_name] = self.replace(child, dotted)
        return module
