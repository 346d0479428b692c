"""What networks return: tensors and other values, at their places in tuples, lists and dicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .errors import ShapeMismatchError


def leaves(output: Any, place: str = "") -> dict[str, Any]:
    """Every value that holds no others, under its place.

    Example:
        >>> leaves({"a": (1, 2), "b": 3})
        {"['a'][0]": 1, "['a'][1]": 2, "['b']": 3}
    """
    if isinstance(output, Mapping):
        items = list(output.items())
    elif isinstance(output, Sequence) and not isinstance(output, str | bytes | torch.Size):
        items = list(enumerate(output))
    else:
        return {place: output}
    return {
        inner: leaf
        for key, value in items
        for inner, leaf in leaves(value, f"{place}[{key!r}]").items()
    }


def tensor_pairs(
    leaves_2d: Mapping[str, Any], leaves_3d: Mapping[str, Any], name: str
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """The place of each tensor, with the 2D and the 3D tensor there.

    Args:
        leaves_2d: `leaves` of what the 2D network or layer returns.
        leaves_3d: the same of its 3D twin.
        name: what to call the two in an error.

    Raises:
        ShapeMismatchError: one has a tensor, or a value of a type, where the other has not.
    """
    for place in {**leaves_2d, **leaves_3d}:
        kind_2d, kind_3d = _kind(leaves_2d, place), _kind(leaves_3d, place)
        if kind_2d != kind_3d:
            raise ShapeMismatchError(
                f"{name}{place} is {kind_2d} in 2D and {kind_3d} in 3D: write the forward so that "
                "it returns the same for any rank"
            )
        if kind_2d == "a tensor":
            yield f"{name}{place}", leaves_2d[place], leaves_3d[place]


def _kind(found: Mapping[str, Any], place: str) -> str:
    if place not in found:
        return "nothing"
    return "a tensor" if isinstance(found[place], Tensor) else type(found[place]).__name__
