"""Intensity policies whose statistics are those of a training split, for every volume alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ._cache import Cache
from ._intensity import Intensity, Rescale, Window
from ._intensity_text import FORMS, intensity_text, parse_intensity
from ._split_statistics import Voxels, split_statistics
from ._statistics import Statistics
from .errors import BadInput

_PREFIXES: dict[str, Voxels] = {"split": "all", "foreground": "foreground"}


@dataclass(frozen=True)
class SplitIntensity:
    """A policy that rescales every volume by the statistics of a training split.

    Grey values keep their meaning from volume to volume, as CT's Hounsfield units deserve. A
    training records :meth:`to_json`; prediction takes it from there and sees no other case.

    Attributes:
        policy: such as ``ClippedZScore()``.
        statistics: of :func:`split_statistics`.
    """

    policy: Intensity
    statistics: Statistics

    def rescale(self, statistics: Statistics) -> Rescale:
        """Return the map of the split, whatever the statistics of the volume at hand."""
        return self.policy.rescale(self.statistics)

    def to_json(self) -> dict[str, Any]:
        """Return plain numbers and text.

        Raises:
            BadInput: E_ARGUMENT: the policy is none of this package's.
        """
        return {"policy": intensity_text(self.policy), "statistics": self.statistics.to_json()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> SplitIntensity:
        """Return what :meth:`to_json` gave.

        Raises:
            KeyError, TypeError, ValueError: ``content`` has not that form (BadInput is a
                ValueError).
        """
        if not isinstance(content["policy"], str):
            raise TypeError("policy is no text")
        policy = parse_intensity(content["policy"])
        return cls(policy, Statistics.from_json(content["statistics"]))


def fit_intensity(text: str, cache: Cache, cases: Sequence[str]) -> Intensity:
    """Return the policy that ``text`` names, fitted to a training split where it asks for that.

    ``split:`` or ``foreground:`` before a form of :func:`parse_intensity` takes the statistics
    from all voxels, or the foreground voxels, of ``cases``; without them it is that function.

    Args:
        text: such as ``minmax`` or ``foreground:clipped-zscore``, nnU-Net's rule for CT.
        cache: an open cache.
        cases: the training split; never cases that are evaluated on.

    Raises:
        BadInput: E_ARGUMENT or E_CACHE, see :func:`split_statistics`.

    Example:
        >>> intensity = fit_intensity("split:zscore", cache, training_cases)  # doctest: +SKIP
    """
    prefix, _, form = text.partition(":")
    if prefix not in _PREFIXES:
        return parse_intensity(text)
    policy = parse_intensity(form)
    if isinstance(policy, Window):
        problem = f"{text!r} takes statistics of a split for a window, which needs none"
        raise BadInput("E_ARGUMENT", "intensity", problem, f"use {form} or one of {FORMS}")
    pooled = split_statistics(cache, cases, voxels=_PREFIXES[prefix])
    return SplitIntensity(policy, pooled.statistics)
