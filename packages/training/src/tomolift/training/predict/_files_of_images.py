"""From an image file to a label file on the same grid."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tomolift import data

from ..errors import PredictionError
from ._trained import Trained
from ._volume import predict_volume
from ._windows import DEFAULT_OVERLAP


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """One image's outcome.

    Attributes:
        path: the label file.
        shape: (D, H, W) of the volume.
        volume_ml: per class but background, millilitres.
        seconds: reading, network and writing.
    """

    path: Path
    shape: tuple[int, int, int]
    volume_ml: dict[str, float]
    seconds: float

    def line(self) -> str:
        """The outcome as a person reads it."""
        volumes = ", ".join(f"{name} {volume:.3g} ml" for name, volume in self.volume_ml.items())
        return f"{self.path}: {self.shape[0]} slices, {volumes}, {self.seconds:.1f} s"


def predict_file(
    trained: Trained,
    image: Path,
    target: Path,
    *,
    overlap: float = DEFAULT_OVERLAP,
    overwrite: bool = False,
) -> Predicted:
    """Label an image; the label file has its grid, orientation and affine, and appears whole.

    Args:
        trained: what `load_trained` returns.
        image: .nii or .nii.gz, one channel; rescaled with the statistics of the whole volume.
        target: .nii or .nii.gz in an existing folder.
        overlap: see `plan_windows`.
        overwrite: replace a file that is there.

    Raises:
        BadInput: the image is missing or damaged, or the target cannot be written.
        PredictionError: the target is there already or is the image, or a logit is no number.
    """
    started = time.perf_counter()
    if target.exists() and target.samefile(image):
        raise PredictionError(f"{target}: is the image itself; choose another --out")
    if target.exists() and not overwrite:
        raise PredictionError(f"{target}: is there already; pass --overwrite or another --out")
    volume, geometry = data.read_volume(image, intensity=trained.run.intensity)
    labels = predict_volume(trained, volume, overlap=overlap)
    data.write_labels(geometry, labels, target, overwrite=overwrite)
    names = trained.run.label_names
    voxels = np.bincount(labels.reshape(-1), minlength=len(names))
    voxel_ml = float(np.prod(geometry.zooms_mm)) / 1000
    return Predicted(
        path=target,
        shape=geometry.shape,
        volume_ml={
            name: int(count) * voxel_ml for name, count in zip(names[1:], voxels[1:], strict=True)
        },
        seconds=time.perf_counter() - started,
    )
