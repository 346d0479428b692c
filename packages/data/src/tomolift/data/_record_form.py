"""What a volume's record must say to be believed.

A right checksum tells that a record is undamaged, not that this package wrote it: a downloaded
cache can hold anything, signed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ._case_info import CaseInfo


def check_record(content: Mapping[str, Any], info: CaseInfo) -> None:
    """Refuse what no volume can have: numbers without a value, counts that do not add up.

    Args:
        content: a record.
        info: what :meth:`CaseInfo.from_json` made of it.

    Raises:
        KeyError, TypeError, ValueError: it cannot be one of this package's.
    """
    if not all(map(math.isfinite, _numbers(info))):
        raise ValueError("a number is not finite")
    for affine in (info.affine, info.source_affine):
        if np.linalg.matrix_rank(affine) < 4:
            raise ValueError("an affine has no inverse")
    if info.slope == 0 or min(info.zooms_mm) <= 0 or info.encoding_error < 0:
        raise ValueError("slope, zooms or encoding error")
    _check_counts(info)
    for kind in ("image", "label"):
        checksums = content[kind]["slice_crc32"]
        if len(checksums) != info.shape[0] or not all(type(each) is int for each in checksums):
            raise ValueError(f"checksums of the {kind}'s slices")


def _numbers(info: CaseInfo) -> Iterator[float]:
    yield from info.affine.flat
    yield from info.source_affine.flat
    yield from info.zooms_mm
    yield from (info.slope, info.intercept, info.encoding_error, info.pad_value)


def _check_counts(info: CaseInfo) -> None:
    """Every voxel of a slice has a class or is ignored."""
    voxels = info.shape[1] * info.shape[2]
    counts = np.column_stack([info.label_counts, info.ignored_per_slice])
    # before they are added up: a sum of large ones could wrap around to the right number
    if (counts < 0).any() or (counts > voxels).any() or (counts.sum(axis=1) != voxels).any():
        raise ValueError("label counts do not add up to a slice")
    if info.foreground_lost < 0:
        raise ValueError("foreground_lost")
