"""Which function inflates which layer: by exact type, never by base class.

A subclass may compute anything (timm's StdConv2d standardises its filter first), so it has to be
registered by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from .._depth import Layer
from ._weight_norm import has_computed_weight, replace_under_weight_norm

# Each function takes its own module type, which a mapping cannot express.
InflateLayer = Callable[[Any, Layer], nn.Module]
# A string stands for a type that is not imported, as "package.module.Class".
_REGISTRY: dict[type[nn.Module] | str, InflateLayer] = {}
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, torch.fx.GraphModule)


# Exactly these types compute nothing themselves that would tell a volume's tokens from a slice's.
_TOKEN_CONTAINERS = (
    nn.Transformer,
    nn.TransformerEncoder,
    nn.TransformerEncoderLayer,
    nn.TransformerDecoder,
    nn.TransformerDecoderLayer,
)


def register_layer(*types: type[nn.Module] | str) -> Callable[[InflateLayer], InflateLayer]:
    """Declare how layers of exactly these types are inflated; a later declaration wins.

    A type of a package that may not be there is named by a string, "package.module.Class".

    The decorated function gets a private copy of the 2D module and a `Layer` (its name, strategy
    and depth rules), and returns the module for volumes: the same one, if it serves both.

    Example:
        >>> class ChannelScale(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.scale = nn.Parameter(torch.ones(8))
        ...
        ...     def forward(self, x):
        ...         return x * self.scale.view(-1, *[1] * (x.ndim - 2))
        >>> @register_layer(ChannelScale)
        ... def keep_channel_scale(module, layer):
        ...     return module
    """

    def register(inflate_layer: InflateLayer) -> InflateLayer:
        for kind in types:
            _REGISTRY[kind] = inflate_layer
        return inflate_layer

    return register


def inflate_layer(module: nn.Module, layer: Layer) -> nn.Module | None:
    """The 3D twin of a registered layer, or None for a container, whose children are to be visited.

    Raises:
        UnsupportedLayerError: the module is neither, named by its dotted name.
    """
    if has_computed_weight(module) and _registered(plain_type(module)):
        return replace_under_weight_norm(
            module, layer, lambda plain: _inflate_registered(plain, layer)
        )
    if _registered(type(module)) is None:
        _check_container(module, layer)
        if isinstance(module, nn.Sequential):
            layer.remember_order(module)
        return None
    return _inflate_registered(module, layer)


def _inflate_registered(module: nn.Module, layer: Layer) -> nn.Module:
    registered = cast(InflateLayer, _registered(plain_type(module)))
    twin = registered(module, layer)
    if twin is module:
        return module
    if has_hooks(module):
        raise layer.refuse(
            f"{type(module).__name__} has hooks (weight_norm, spectral_norm or your own), which "
            "were written for slices",
            "remove them before inflating and add them again after",
        )
    return twin.train(module.training)


def _registered(kind: type[nn.Module]) -> InflateLayer | None:
    return _REGISTRY.get(kind) or _REGISTRY.get(f"{kind.__module__}.{kind.__qualname__}")


def plain_type(module: nn.Module) -> type[nn.Module]:
    """Its type, without the subclass that torch puts a parametrized module under."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


def _check_container(module: nn.Module, layer: Layer) -> None:
    """Pass only what computes nothing itself, or computes with its children in its `forward`."""
    if is_container(module):
        return
    kind = type(module)
    cure = f"register it: @register_layer({kind.__name__}) with a function that returns its 3D twin"
    known = next((base for base in kind.__mro__ if base in _REGISTRY), None)
    if known is not None:
        raise layer.refuse(
            f"{kind.__name__} is a subclass of {known.__name__} and may compute otherwise", cure
        )
    if kind.__module__.startswith("torch."):
        raise layer.refuse(f"{kind.__name__} has no known 3D twin", cure)
    tensors = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    own = [name for name, tensor in tensors if tensor.ndim > 0]
    if own:
        raise layer.refuse(
            f"{kind.__name__} holds {own[0]!r} itself, and how it meets a volume is unknown", cure
        )
    scalars = [name for name, _ in module.named_parameters(recurse=False)]
    if scalars and not layer.strategy.keeps_source:
        raise layer.refuse(
            f"{kind.__name__} holds {scalars[0]!r} itself, which {type(layer.strategy).__name__} "
            "would have to start anew",
            cure,
        )


def is_container(module: nn.Module) -> bool:
    """Whether a module is known to do nothing that depends on the rank but by its children."""
    return isinstance(module, _CONTAINERS) or type(module) in _TOKEN_CONTAINERS


def is_kept(module: nn.Module, layer: Layer) -> bool:
    """Whether this package has a rule that leaves the layer as it is, since it suits any rank.

    A rule of the user's may return the layer with other children or numbers, and does not count.

    Raises:
        UnsupportedLayerError: the rule refuses this one.
    """
    rule = _registered(plain_type(module))
    if rule is None or not rule.__module__.startswith(__package__):
        return False
    return rule(module, layer) is module


def has_hooks(module: nn.Module) -> bool:
    """Whether anything is called before or behind its forward or backward."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )
