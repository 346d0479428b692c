"""Which function takes which layer back to 2D: by exact type, the inverse of `_registry.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .._depth import Layer
from .._strategies import Center
from ..errors import UnsupportedLayerError
from ._registry import has_hooks, is_container, is_kept, plain_type
from ._weight_norm import has_computed_weight, replace_under_weight_norm

How = Literal["sum", "center"]


@dataclass(frozen=True)
class Deflation:
    """Where a layer stands, and what becomes of its depth taps.

    Args:
        name: dotted name in the network, for messages.
        how: "sum" of all taps, or the "center" one.
    """

    name: str
    how: How
    _deflated: dict[int, tuple[Tensor, nn.Parameter]] = field(default_factory=dict, repr=False)

    def at(self, name: str) -> Deflation:
        """The same at another place, with the same memory of shared filters."""
        return replace(self, name=name)

    @property
    def layer(self) -> Layer:
        """What the functions of inflation are given, none of which is to change a value."""
        return Layer(self.name, Center(), "same", "same", "replicate")

    def refuse(self, reason: str, cure: str) -> UnsupportedLayerError:
        """The error that names this layer."""
        return self.layer.refuse(reason, cure)

    def without_depth(
        self, taps: Float[Tensor, "out in depth height width"]
    ) -> Float[Tensor, "out in height width"]:
        """The sum of the taps or the middle one; an even number has two in the middle, summed."""
        if self.how == "center":
            depth = taps.shape[2]
            taps = taps[:, :, (depth - 1) // 2 : depth // 2 + 1]
        precise = torch.promote_types(taps.dtype, torch.float32)
        return taps.to(precise).sum(2).to(taps.dtype)

    def parameter(self, weight: nn.Parameter, values: Tensor) -> nn.Parameter:
        """The 2D filter as a parameter; that of a 3D filter shared by several layers is one too.

        Raises:
            UnsupportedLayerError: the layers that share `weight` make different filters of it.
        """
        if id(weight) not in self._deflated:
            # the 3D filter is kept beside it, lest its id be given to another one
            made = nn.Parameter(values.contiguous(), requires_grad=weight.requires_grad)
            self._deflated[id(weight)] = (weight, made)
        shared = self._deflated[id(weight)][1]
        if shared.shape != values.shape or not (values.is_meta or torch.equal(shared, values)):
            raise self.refuse(
                "its filter is shared by a layer that makes another 2D filter of it",
                "give each its own filter",
            )
        return shared


# Each function takes its own module type, which a mapping cannot express.
DeflateLayer = Callable[[Any, Deflation], nn.Module]
_REGISTRY: dict[type[nn.Module], DeflateLayer] = {}


def register_deflation(*types: type[nn.Module]) -> Callable[[DeflateLayer], DeflateLayer]:
    """Declare how private copies of layers of exactly these types become layers for slices."""

    def register(deflate_layer: DeflateLayer) -> DeflateLayer:
        for kind in types:
            _REGISTRY[kind] = deflate_layer
        return deflate_layer

    return register


def deflate_layer(module: nn.Module, deflation: Deflation) -> nn.Module | None:
    """The 2D twin of a known layer, or None for a container, whose children are to be visited.

    Raises:
        UnsupportedLayerError: the module is neither, named by its dotted name.
    """
    if plain_type(module) not in _REGISTRY and not is_kept(module, deflation.layer):
        _check_container(module, deflation)
        return None
    if has_computed_weight(module):
        return replace_under_weight_norm(
            module, deflation.layer, lambda plain: _deflate_known(plain, deflation)
        )
    return _deflate_known(module, deflation)


def _deflate_known(module: nn.Module, deflation: Deflation) -> nn.Module:
    deflate_known = _REGISTRY.get(plain_type(module))
    if deflate_known is None:
        return module
    twin = deflate_known(module, deflation)
    if has_hooks(module):
        raise deflation.refuse(
            f"{type(module).__name__} has hooks, which were written for volumes",
            "remove them before deflating and add them again after",
        )
    return twin.train(module.training)


def _check_container(module: nn.Module, deflation: Deflation) -> None:
    """Pass only what computes with its children in its `forward`."""
    if is_container(module):
        return
    kind = type(module)
    cure = "replace it by torch's layers for volumes, or for any rank"
    bases = [base for base in kind.__mro__ if base.__module__.startswith("torch.")]
    if kind in bases:
        raise deflation.refuse(f"{kind.__name__} has no known 2D twin", cure)
    if bases[0] is not nn.Module:
        raise deflation.refuse(
            f"{kind.__name__} is a subclass of {bases[0].__name__} and may compute otherwise", cure
        )
    tensors = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    own = [name for name, tensor in tensors if tensor.ndim > 0]
    if own:
        raise deflation.refuse(
            f"{kind.__name__} holds {own[0]!r} itself, and how it meets a slice is unknown", cure
        )
