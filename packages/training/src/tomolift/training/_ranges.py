"""The checks that configurations share: one line naming the key, its value and what is expected."""

from __future__ import annotations

import math

from .errors import ConfigError


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Refuse a word that is not among `allowed`."""
    if value not in allowed:
        raise ConfigError(f"{name} = {value!r}: expected one of {', '.join(allowed)}")


def at_least(name: str, value: float, least: float) -> None:
    """Refuse a number below `least`, infinite or not a number."""
    if not least <= value < math.inf:
        raise ConfigError(f"{name} = {value}: expected at least {least}")
