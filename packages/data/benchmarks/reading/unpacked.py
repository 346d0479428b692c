"""A volume unpacked with nibabel: get_fdata, a narrower type, np.save."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np

from reading.volumes import Volumes
from tomolift.data import Cache


def unpack(volumes: Volumes, cases: Sequence[str], folder: Path) -> None:
    """Image as float32, labels as uint8, both whole and as they are stored."""
    folder.mkdir()
    for case in cases:
        for kind, dtype in (("images", np.float32), ("labels", np.uint8)):
            voxels = nib.load(volumes.source(case, kind)).get_fdata()
            np.save(folder / f"{case}.{kind}.npy", voxels.astype(dtype))


def assert_holds_the_same(cache: Cache, folder: Path) -> None:
    """Hold every cached volume against what was unpacked.

    Raises:
        ValueError: one differs; the message names it.
    """
    for case in cache.cases:
        info = cache[case]
        for kind, cached in (("images", cache.raw(case)), ("labels", cache.labels(case))):
            stored = nib.Nifti1Image(np.load(folder / f"{case}.{kind}.npy"), info.source_affine)
            canonical = np.asarray(nib.as_closest_canonical(stored).dataobj).T
            if not np.array_equal(cached, canonical[info.z0 : info.z0 + cache.depth]):
                raise ValueError(f"{kind} of {case} differ: a race between them tells nothing")
