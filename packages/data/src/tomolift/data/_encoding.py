"""From a stored plane to cached values: uint8 labels, int16 or float32 grey values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import BadInput

LABEL_TOLERANCE = 1e-3  # some of Task04's labels are float32 and not quite integers


class DoesNotFitInt16(Exception):  # noqa: N818 - a signal to widen the encoding, not an error
    """A value is no integer of 16 bits."""


def label_plane(
    plane: npt.NDArray[Any], *, num_classes: int, plane_index: int, path: Path
) -> npt.NDArray[np.uint8]:
    """Return labels as uint8, rounding what lies within 1e-3 of a class.

    Raises:
        BadInput: E_NONFINITE, or E_LABEL naming the first bad value and its voxel.
    """
    rounded = plane
    if plane.dtype.kind == "f":
        check_finite(plane, plane_index=plane_index, path=path)
        rounded = np.rint(plane)
    elif plane.min() >= 0 and plane.max() < num_classes:  # nearly always: two fast passes
        return plane.astype(np.uint8)
    bad = (np.abs(plane - rounded) >= LABEL_TOLERANCE) | (rounded < 0) | (rounded >= num_classes)
    if bad.any():
        y, x = np.argwhere(bad)[0].tolist()
        problem = f"label {plane[y, x]} at voxel {(x, y, plane_index)} is no class"
        cure = f"expected the integers 0..{num_classes - 1} of dataset.json; correct the label file"
        raise BadInput("E_LABEL", path, problem, cure)
    return rounded.astype(np.uint8)


def int16_plane(plane: npt.NDArray[Any]) -> npt.NDArray[np.int16]:
    """Return grey values as int16, exactly; ``plane`` itself where it is that already.

    Raises:
        DoesNotFitInt16: some value is no integer in -32768..32767 (or not finite).
    """
    if plane.dtype.kind == "f":
        with np.errstate(invalid="ignore"):  # what does not fit becomes some other number
            encoded = plane.astype(np.int16)
        if (encoded != plane).any():
            raise DoesNotFitInt16
        return encoded
    if not np.can_cast(plane.dtype, np.int16) and (plane.min() < -32768 or plane.max() > 32767):
        raise DoesNotFitInt16
    return plane.astype(np.int16, copy=False)


def float32_plane(
    plane: npt.NDArray[Any], *, plane_index: int, path: Path
) -> tuple[npt.NDArray[np.float32], float]:
    """Return grey values as float32 (``plane`` itself where it is) and the largest error of that.

    Raises:
        BadInput: E_NONFINITE where a value is not finite, or a float64 one is beyond float32.
    """
    with np.errstate(over="ignore"):
        encoded = plane.astype(np.float32, copy=False)
    check_finite(encoded, plane_index=plane_index, path=path)
    if np.can_cast(plane.dtype, np.float32):
        return encoded, 0.0
    # float64 holds the difference exactly, but not every 64-bit integer: longdouble does
    exact = plane.astype(np.longdouble) if plane.dtype in (np.int64, np.uint64) else plane
    return encoded, float(np.abs(exact - encoded).max())


def check_finite(plane: npt.NDArray[Any], *, plane_index: int, path: Path) -> None:
    """Refuse NaN and infinity, naming the first such voxel.

    Raises:
        BadInput: E_NONFINITE.
    """
    if plane.dtype.kind != "f":
        return
    finite = np.isfinite(plane)
    if not finite.all():
        y, x = np.argwhere(~finite)[0].tolist()
        problem = f"value at voxel {(x, y, plane_index)} is {plane[y, x]}"
        cure = "expected finite numbers (of float32 range); repair or leave out the volume"
        raise BadInput("E_NONFINITE", path, problem, cure)
