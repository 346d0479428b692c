"""Labels of a network back into the grid of the file that the volume came from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ._cache import Cache
from ._disk import disk_failures_told
from ._files import remove_stale
from ._geometry import Geometry
from ._msd import IGNORE_LABEL
from ._nifti_writer import write_label_planes
from .errors import BadInput


def write_labels(
    geometry: Geometry, labels: npt.ArrayLike, path: str | Path, *, overwrite: bool = False
) -> None:
    """Write the labels of a whole volume as a NIfTI file on the grid of its source.

    The file has the source's shape, axis order, units, sform and qform, field by field, and holds
    uint8. No text, no extension of the source is in it, and a single-channel fourth axis is gone.
    It is written under another name and renamed: it appears whole or not at all, and equal labels
    give equal bytes.

    Args:
        geometry: of the volume, as :func:`read_volume` returns it.
        labels: (D, H, W) of ``geometry.shape``, an array or CPU tensor of integers 0..254.
        path: ends in ``.nii`` or ``.nii.gz``; its folder exists.
        overwrite: replace a file that is there. Without it such a file is refused at the start; one
            that somebody else makes during the call is replaced all the same.

    Raises:
        BadInput: E_ARGUMENT (``path``, or the shape or type of ``labels``) or E_LABEL (a value).
        DiskFailure: the disk is full or refuses the file; what was there is untouched.

    Example:
        >>> volume, geometry = read_volume("case.nii.gz")  # doctest: +SKIP
        >>> write_labels(geometry, volume > 0.5, "bright.nii.gz")  # doctest: +SKIP
    """
    target = _checked_path(path, overwrite=overwrite)
    array = np.asarray(labels)
    _check_labels(array, geometry.shape, range(geometry.shape[0]), num_classes=IGNORE_LABEL)
    _write(geometry, array, target, first=0)


def write_prediction(
    cache: Cache, case: str, labels: npt.ArrayLike, path: str | Path, *, overwrite: bool = False
) -> None:
    """Write the predicted labels of a cached volume as a NIfTI file on the grid of its source.

    As :func:`write_labels`, and in the source's full depth: slices that the cache cropped off are
    background (0), slices that it padded are left out whatever they hold.

    Args:
        cache: an open cache.
        case: one of ``cache.cases``.
        labels: (D, H, W) of ``cache[case].shape``, an array or CPU tensor of classes
            0..``cache.num_classes - 1``.
        path: ends in ``.nii`` or ``.nii.gz``; its folder exists.
        overwrite: replace a file that is there.

    Raises:
        BadInput: E_ARGUMENT (``case``, ``path``, or the shape or type of ``labels``), E_LABEL (a
            value) or E_CACHE (the record of the case).
        DiskFailure: the disk is full or refuses the file; what was there is untouched.

    Example:
        >>> labels = network(cache.volume(case)).argmax(0)  # doctest: +SKIP
        >>> write_prediction(cache, case, labels, f"{case}.nii.gz")  # doctest: +SKIP
    """
    info = cache[case]
    target = _checked_path(path, overwrite=overwrite)
    array, valid = np.asarray(labels), info.valid_slices
    _check_labels(array, info.shape, range(*valid), num_classes=cache.num_classes)
    _write(info.geometry, array[slice(*valid)], target, first=info.z0 + valid[0])


def _write(geometry: Geometry, labels: npt.NDArray[Any], path: Path, *, first: int) -> None:
    planes = _stored_planes(geometry, labels, first)
    with disk_failures_told(path, again="write it again"):
        remove_stale(path.parent, name=path.name)
        write_label_planes(path, planes, shape=geometry.source_shape, spatial=geometry.spatial)


def _stored_planes(
    geometry: Geometry, labels: npt.NDArray[Any], first: int
) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield the stored planes (Y, X) of a volume whose slices from ``first`` are ``labels``.

    The plane lives in one reused buffer; what lies outside ``labels`` is background.
    """
    x, y, z = geometry.source_shape
    inside = geometry.stored_view(labels)
    starts = [0, 0, 0]
    depth_axis = 2 - geometry.permutation[2]
    cut_off = geometry.shape[0] - first - len(labels)
    starts[depth_axis] = cut_off if geometry.flips[2] else first
    rows, columns = (
        slice(start, start + side) for start, side in zip(starts[1:], inside.shape[1:], strict=True)
    )
    plane = np.zeros((y, x), np.uint8)
    for index in range(z):
        held = 0 <= index - starts[0] < len(inside)
        plane[rows, columns] = inside[index - starts[0]] if held else 0
        yield plane


def _checked_path(path: str | Path, *, overwrite: bool) -> Path:
    target = Path(path)
    if not target.name.endswith((".nii", ".nii.gz")):
        problem = "ends otherwise than in .nii or .nii.gz"
        raise BadInput("E_ARGUMENT", target, problem, "give it one of these endings")
    if not target.parent.is_dir():
        problem = f"is to lie in {target.parent}, which is no folder"
        raise BadInput("E_ARGUMENT", target, problem, "make that folder first")
    if target.is_dir():
        raise BadInput("E_ARGUMENT", target, "is a folder", "name a file")
    if os.path.lexists(target) and not overwrite:
        cure = "name another file or pass overwrite=True"
        raise BadInput("E_ARGUMENT", target, "is there already", cure)
    return target


def _check_labels(
    labels: npt.NDArray[Any], shape: tuple[int, int, int], slices: range, *, num_classes: int
) -> None:
    """Refuse labels that are of another shape or, within ``slices``, no classes."""
    if labels.shape != shape:
        problem = f"have the shape {labels.shape}, expected (D, H, W) = {shape}"
        raise BadInput("E_ARGUMENT", "labels", problem, "give one label for every voxel")
    if labels.dtype.kind not in "biu":
        problem = f"are {labels.dtype}, expected integers"
        raise BadInput("E_ARGUMENT", "labels", problem, "take the argmax over the classes")
    for index in slices:
        plane = labels[index]
        if plane.min() >= 0 and plane.max() < num_classes:
            continue
        h, w = np.argwhere((plane < 0) | (plane >= num_classes))[0].tolist()
        value = int(plane[h, w])
        problem = f"hold {value} at (d, h, w) = {(index, h, w)}, expected 0..{num_classes - 1}"
        cure = "take the argmax over the classes"
        if value == IGNORE_LABEL:
            problem, cure = f"{problem} ({value} marks ignored voxels)", "set them to a class"
        raise BadInput("E_LABEL", "labels", problem, cure)
