"""Intensity policies as text, for command lines and configurations."""

from __future__ import annotations

import math
from collections.abc import Callable

from ._intensity import ClippedZScore, Intensity, MinMax, Percentiles, Window, ZScore
from .errors import BadInput

# name -> the policy, and how many numbers may stand behind the name
_POLICIES: dict[str, tuple[Callable[..., Intensity], tuple[int, ...]]] = {
    "minmax": (MinMax, (0,)),
    "window": (Window, (2,)),
    "percentiles": (Percentiles, (0, 2)),
    "zscore": (ZScore, (0,)),
    "clipped-zscore": (ClippedZScore, (0, 2)),
}
FORMS = "minmax, window:LOW,HIGH, percentiles[:LOW,HIGH], zscore or clipped-zscore[:LOW,HIGH]"


def parse_intensity(text: str) -> Intensity:
    """Return the policy that ``text`` names.

    Raises:
        BadInput: E_ARGUMENT, naming the forms.

    Example:
        >>> parse_intensity("window:-100,240")
        Window(low_hu=-100.0, high_hu=240.0)
        >>> parse_intensity("percentiles:1,99")
        Percentiles(low=1.0, high=99.0)
    """
    name, _, numbers = text.partition(":")
    try:
        values = [float(number) for number in numbers.split(",")] if numbers else []
    except ValueError:
        values = [math.nan]
    policy, counts = _POLICIES.get(name, (MinMax, ()))
    if len(values) not in counts:
        raise BadInput(
            "E_ARGUMENT", "intensity", f"{text!r} is no intensity policy", f"use {FORMS}"
        )
    return policy(*values)


def intensity_text(policy: Intensity) -> str:
    """Return the text that :func:`parse_intensity` turns into ``policy``.

    Raises:
        BadInput: E_ARGUMENT: it is none of this package's policies, or one of a split.

    Example:
        >>> intensity_text(Window(-100, 240.5))
        'window:-100.0,240.5'
    """
    for name, (kind, _) in _POLICIES.items():
        if type(policy) is kind:
            numbers = ",".join(repr(float(number)) for number in vars(policy).values())
            return f"{name}:{numbers}" if numbers else name
    problem = f"{type(policy).__name__} has no text form"
    raise BadInput("E_ARGUMENT", "intensity", problem, f"use {FORMS}")
