"""Checks of what a network is asked to be, each a one-line error with the cure."""

from __future__ import annotations

from collections.abc import Iterable


def check_counts(**counts: int) -> None:
    """Refuse what is no int >= 1.

    Raises:
        ValueError: the argument's name, its value and the cure.
    """
    for name, value in counts.items():
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name}={value!r}, expected an int >= 1: pass a positive count")


def check_choice(name: str, value: object, choices: Iterable[object]) -> None:
    """Refuse what is not one of a few values.

    Raises:
        ValueError: the argument's name, its value and the choices.
    """
    *others, last = choices
    if value not in (*others, last):
        listed = f"{', '.join(map(repr, others))} or {last!r}"
        raise ValueError(f"{name}={value!r}, expected {listed}: pass one of them")


def check_depth_options(spatial_dims: int, depth_padding: str, depth_stride: object) -> None:
    """Refuse an unknown padding, and options of the depth where there is none.

    Raises:
        ValueError: the argument's name, its value and the cure.
    """
    if spatial_dims not in (2, 3):
        raise ValueError(
            f"spatial_dims={spatial_dims!r}, expected 2 or 3: pass 2 for slices, 3 for volumes"
        )
    check_choice("depth_padding", depth_padding, ("zeros", "replicate"))
    if spatial_dims == 2 and (depth_padding != "zeros" or depth_stride != "same"):
        raise ValueError(
            f"depth_padding={depth_padding!r} and depth_stride={depth_stride!r} with "
            "spatial_dims=2, which has no depth: leave them out or pass spatial_dims=3"
        )
