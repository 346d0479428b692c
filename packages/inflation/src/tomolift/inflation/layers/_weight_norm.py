"""Layers whose weight is computed from other parameters: weight_norm off, inflate, on again.

The norm of a 3D filter is that of its taps together, so length and direction are taken apart anew;
the product, which is the filter, is what is inflated (design fact F10). Parameters keep their
names. `spectral_norm` cannot be put on again: it would divide by the 3D filter's own largest
singular value, which is that of the 2D filter times the norm of the taps, so that the taps no
longer sum to one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.nn.utils.parametrize import is_parametrized
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from .._depth import Layer

ReplacePlain = Callable[[nn.Module], nn.Module]
_BY_HOOK = ("weight_g", "weight_v")
_DEPTH_AXIS = 2


@dataclass(frozen=True)
class _Parts:
    """Length and direction of a weight, and how torch computes it from them."""

    length: nn.Parameter
    direction: nn.Parameter
    dim: int
    by_hook: bool


def has_computed_weight(module: nn.Module) -> bool:
    """Whether a parametrization, or a hook of torch's older norms of weights, computes it."""
    hooks = module._forward_pre_hooks.values()
    by_hook = any(isinstance(hook, WeightNorm | SpectralNorm) for hook in hooks)
    return by_hook or is_parametrized(module)


def replace_under_weight_norm(
    module: nn.Module, layer: Layer, replace_plain: ReplacePlain
) -> nn.Module:
    """What `replace_plain` makes of the plain layer, with the norm put on again.

    Args:
        module: a private copy of a layer, for which `has_computed_weight`.
        layer: where it stands.
        replace_plain: inflates or deflates a layer with a plain weight.

    Raises:
        UnsupportedLayerError: the weight is computed in another way, and the layer is no one that
            serves slices and volumes alike.
    """
    parts = _parts(module)
    if parts is None:
        return _kept(module, layer, replace_plain)
    twin = replace_plain(_plain(module))
    more_axes = _weight(twin).ndim - parts.direction.ndim
    if more_axes < 0 and parts.dim == _DEPTH_AXIS:
        raise layer.refuse(
            "weight_norm with a length for each depth tap has no 2D form",
            "take it off before deflating (torch.nn.utils.parametrize.remove_parametrizations)",
        )
    shift = more_axes if parts.dim >= _DEPTH_AXIS else 0
    put_on = _put_on_hook if parts.by_hook else _put_on_parametrization
    length, direction = put_on(twin, parts.dim + shift)
    if layer.strategy.keeps_source and direction.shape == parts.direction.shape:
        with torch.no_grad():  # nothing has changed, so the same parts, not only the same product
            length.copy_(parts.length)
            direction.copy_(parts.direction)
    length.requires_grad_(parts.length.requires_grad)
    direction.requires_grad_(parts.direction.requires_grad)
    return twin.train(module.training)


def _parts(module: nn.Module) -> _Parts | None:
    """Length and direction of the weight; None where it is not computed by one weight_norm."""
    norms = [each for each in module._forward_pre_hooks.values() if isinstance(each, WeightNorm)]
    if not is_parametrized(module):
        if len(norms) != 1 or norms[0].name != "weight":
            return None
        return _Parts(_weight(module, "_g"), _weight(module, "_v"), norms[0].dim, True)
    parametrized = cast(Any, module.parametrizations)
    if norms or set(parametrized) != {"weight"} or len(parametrized.weight) != 1:
        return None
    originals, norm = parametrized.weight, parametrized.weight[0]
    if type(norm) is not parametrizations._WeightNorm:
        return None
    return _Parts(originals.original0, originals.original1, norm.dim, False)


def _plain(module: nn.Module) -> nn.Module:
    """The layer with a plain weight.

    Not by `remove_parametrizations`, which takes the weight from the class, and with it from the
    network that this private copy was made of.
    """
    kind: type[nn.Module] = type(module)
    if is_parametrized(module):
        kind = kind.__bases__[0]
    weight = cast(Tensor, module.weight).detach().clone()
    plain: nn.Module = kind.__new__(kind)
    plain.__dict__.update(module.__dict__)
    plain.__dict__.pop("weight", None)  # what the older form leaves there
    own = {name: p for name, p in module._parameters.items() if name not in _BY_HOOK}
    plain._parameters = {"weight": nn.Parameter(weight), **own}
    plain._modules = {name: m for name, m in module._modules.items() if name != "parametrizations"}
    hooks = module._forward_pre_hooks.items()
    plain._forward_pre_hooks = OrderedDict(
        (number, hook) for number, hook in hooks if not isinstance(hook, WeightNorm)
    )
    return plain


def _kept(module: nn.Module, layer: Layer, replace_plain: ReplacePlain) -> nn.Module:
    """A layer whose twin is itself computes its weight for a volume as for a slice."""
    if layer.strategy.keeps_source and replace_plain(module) is module:
        return module
    raise layer.refuse(
        f"{type(module).__name__} has a weight computed by {', '.join(_rules(module))}, which "
        "gives something else for a filter with depth taps",
        "take it off before (torch.nn.utils.parametrize.remove_parametrizations, or "
        "remove_spectral_norm)",
    )


def _rules(module: nn.Module) -> list[str]:
    """Names of what computes the weight."""
    parametrized: Any = getattr(module, "parametrizations", {})
    rules = [rule for each in parametrized.values() for rule in each]
    return [
        type(rule).__name__.strip("_") for rule in (*rules, *module._forward_pre_hooks.values())
    ]


def _put_on_parametrization(twin: nn.Module, dim: int) -> tuple[nn.Parameter, nn.Parameter]:
    parametrizations.weight_norm(twin, "weight", dim)
    originals = cast(Any, twin.parametrizations).weight
    return originals.original0, originals.original1


def _put_on_hook(twin: nn.Module, dim: int) -> tuple[nn.Parameter, nn.Parameter]:
    """As torch's deprecated `weight_norm` does it, but for a warning."""
    weight = cast(Tensor, twin._parameters.pop("weight")).detach()
    length = nn.Parameter(torch.norm_except_dim(weight, 2, dim))
    direction = nn.Parameter(weight)
    twin.register_parameter("weight_g", length)
    twin.register_parameter("weight_v", direction)
    norm = WeightNorm("weight", dim)
    with torch.no_grad():  # a leaf, so that the result can be copied
        twin.weight = norm.compute_weight(twin)
    twin.register_forward_pre_hook(norm)
    return length, direction


def _weight(module: nn.Module, suffix: str = "") -> nn.Parameter:
    return cast(nn.Parameter, module._parameters[f"weight{suffix}"])
