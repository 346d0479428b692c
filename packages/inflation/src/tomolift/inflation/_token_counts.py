"""How many tokens reach each attention in 2D and in 3D: more of them only by repetition in depth.

Softmax over tokens that are repeated in depth is exact; a token that stands for no position (a
class or register token) is there once in both, and weighs as many times less among the keys of a
volume as it has slices (design fact F9).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from .errors import UnsupportedLayerError


class TokenCounts:
    """Counts the keys of every nn.MultiheadAttention while two networks run.

    Args:
        net2d: the 2D network that will be run.
        net3d: the 3D network that will be run; both are left with hooks.
    """

    def __init__(self, net2d: nn.Module, net3d: nn.Module) -> None:
        self._in_2d, self._in_3d = _watched(net2d), _watched(net3d)

    def check(self) -> None:
        """Compare the last runs.

        Raises:
            UnsupportedLayerError: an attention has tokens that depth does not repeat, or a mask.
        """
        for name, counts in self._in_3d.items():
            for slices, volume in zip(self._in_2d.get(name, []), counts, strict=False):
                if volume is None:
                    raise UnsupportedLayerError(
                        f"{name!r}: MultiheadAttention gets a mask, which was made for the tokens "
                        "of a slice: leave it out, or register the module around it"
                    )
                if slices and volume % slices:
                    raise UnsupportedLayerError(
                        f"{name!r}: MultiheadAttention sees {slices} tokens in 2D and {volume} in "
                        "3D, so some stand for no position (a class token) and would weigh less "
                        "among the keys of a volume: use the mean of the tokens instead"
                    )


def _watched(net: nn.Module) -> Mapping[str, list[int | None]]:
    """Name of each attention -> how many keys each call in the last run had, None: masked."""
    attentions = {
        name: module
        for name, module in net.named_modules()
        if isinstance(module, nn.MultiheadAttention)
    }
    counts: dict[str, list[int | None]] = {name: [] for name in attentions}

    def start(module: nn.Module, args: Any) -> None:
        for calls in counts.values():
            calls.clear()

    def hook(name: str) -> Callable[[nn.MultiheadAttention, Any, Any], None]:
        def count(module: nn.MultiheadAttention, args: Any, kwargs: Any) -> None:
            counts[name].append(_num_keys(module, args, kwargs))

        return count

    if attentions:
        net.register_forward_pre_hook(start, prepend=True)
    for name, module in attentions.items():
        module.register_forward_pre_hook(hook(name), with_kwargs=True)
    return counts


def _num_keys(
    module: nn.MultiheadAttention, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> int | None:
    """None where a mask tells tokens apart by their place."""
    order = ("query", "key", "value", "key_padding_mask", "need_weights", "attn_mask")
    given = {**dict(zip(order, args, strict=False)), **kwargs}
    masks = (given.get("key_padding_mask"), given.get("attn_mask"), given.get("is_causal") or None)
    if any(mask is not None for mask in masks):
        return None
    key: Tensor = given["key"]
    return key.shape[1 if module.batch_first and key.ndim == 3 else 0]
