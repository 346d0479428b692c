"""Our reader against nibabel: what ours accepts, nibabel must read as the same volume."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from random import Random

import nibabel as nib
import numpy as np
import numpy.typing as npt
from faulting.mutants_gzip import gzip_mutant
from faulting.mutants_images import LENIENT, ImageMutant, decompressed, image_writer
from faulting.mutants_nifti import nifti_mutant, nifti_seeds
from faulting.mutants_target import Target, Trial, require
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from tomolift.data._headers import NiftiHeader
from tomolift.data._nifti import open_nifti

# some writers mean "right behind the header"; nibabel takes the header's bytes for voxels
NO_OFFSET = "vox_offset 0: behind the header for us, the file's first byte for nibabel"
_ROUNDING = 1e-6  # of the largest entry: nibabel computes some affines in float32


def prepare_oracle(folder: Path) -> Trial:
    """Make the trial that shows every file to both readers."""
    write, seeds = image_writer(folder), nifti_seeds()
    logging.getLogger("nibabel").setLevel(logging.CRITICAL)

    def make(random: Random) -> ImageMutant:
        data = nifti_mutant(random, seeds, hostile=0.3)
        if random.random() < 0.3:
            data = gzip_mutant(random, data, hostile=0.1)
        return ("a.nii.gz" if data[:2] == b"\x1f\x8b" else "a.nii"), data

    def look(mutant: ImageMutant) -> str | None:
        path = write(mutant)
        with open_nifti(path) as stream:
            planes = np.stack([plane.copy() for _, plane in stream.planes()])
        plain = decompressed(mutant[1])
        if not plain:
            return LENIENT
        if plain[108:112].strip(b"\0\x80") == b"":  # 0.0 or -0.0
            return NO_OFFSET
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nibabel's own; a NaN in an unused field
            _compare(stream.header, planes, path)
        return None

    return Trial(make, look)


def _compare(header: NiftiHeader, planes: npt.NDArray[np.generic], path: Path) -> None:
    """Fail where nibabel does not read the same volume.

    Raises:
        InsaneError: nibabel sees another volume.
    """
    try:
        image = nib.Nifti1Image.from_filename(path)
        stored = image.dataobj.get_unscaled()
    except (HeaderDataError, ImageFileError, ValueError, OSError, EOFError) as error:
        require(False, f"nibabel reads it ({type(error).__name__}: {error})")
    shape = (*image.shape, 1, 1, 1)[:3]
    require(shape == header.shape, f"nibabel's shape {image.shape}, ours {header.shape}")
    require(image.get_data_dtype() == header.dtype, "nibabel's type")
    scaling = (image.dataobj.slope, image.dataobj.inter)
    require(scaling == (header.slope, header.intercept), f"nibabel's scaling {scaling}")
    apart = float(np.abs(image.affine - header.affine).max())
    largest = float(np.abs(header.affine).max())
    require(apart <= _ROUNDING * largest, f"nibabel's affine, {apart:g} of {largest:g} apart")
    voxels = stored.reshape(header.shape).transpose(2, 1, 0).astype(planes.dtype)
    require(voxels.tobytes() == planes.tobytes(), "nibabel's voxels")


ORACLE = Target("nibabel", 1.0, prepare_oracle)
