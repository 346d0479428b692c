"""The volumes that all read: a synthetic CT task in real .nii.gz files, and its cache."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from isal import igzip
from numpy.typing import NDArray

from reading.sizes import Sizes
from tomolift.data import Cache, build_cache, open_cache, write_phantom

Item = tuple[str, int]  # case, slice of the cached volume


@dataclass(frozen=True)
class Volumes:
    """The task's folder, its open cache, and all slices in a shuffled order."""

    task: Path
    cache: Cache

    @property
    def shape(self) -> tuple[int, int, int]:
        """(D, H, W) of every cached volume."""
        return self.cache.depth, *self.cache.plane_shape(self.cache.cases[0])

    def items(self, *, of: int) -> list[Item]:
        """Every slice of the first `of` cases, as the first epoch has them."""
        cases = self.cache.cases[:of]
        (items,) = self.cache.slice_order(of * self.cache.depth, cases=cases)
        return list(items)

    def describe(self) -> str:
        """Number, size and types: what a benchmark is grouped by."""
        size = "x".join(map(str, self.shape))
        return f"{len(self.cache)} of {size} {self.cache.raw(self.cache.cases[0]).dtype} + uint8"

    def source(self, case: str, kind: str) -> Path:
        """The .nii.gz of a case; kind is "images" or "labels"."""
        return self.task / f"{kind}Tr" / f"{case}.nii.gz"


def write_volumes(folder: Path, sizes: Sizes) -> Volumes:
    """Write phantoms and copies of them, and build their cache."""
    task = write_phantom(
        folder / "phantom", cases=sizes.phantoms, size=sizes.side, depth=sizes.depth
    )
    names = [f"phantom_{case:03d}.nii.gz" for case in range(sizes.cases)]
    for kind in ("imagesTr", "labelsTr"):
        for case in range(sizes.phantoms, sizes.cases):
            copied = task / kind / names[case % sizes.phantoms]
            shutil.copyfile(copied, task / kind / names[case])
    described = json.loads((task / "dataset.json").read_text("utf-8"))
    (task / "dataset.json").write_text(json.dumps(described | listing(names)), "utf-8")
    build_cache(task, folder / "cache", depth=sizes.depth, workers=1)
    return Volumes(task, open_cache(folder / "cache"))


def write_noise(folder: Path, *, cases: int, side: int, depth: int) -> Path:
    """Write a task of equal cases of int16 noise, quickly: where only number or size matters."""
    drawn = np.random.default_rng(0).normal(40, 25, (min(depth, 8), side, side)).astype(np.int16)
    noise = np.resize(drawn, (depth, side, side))  # the same slices again
    labels = np.zeros(noise.shape, np.uint8)
    labels[depth // 2] = 1
    names = [f"noise_{case:03d}.nii.gz" for case in range(cases)]
    for kind, voxels in (("imagesTr", noise), ("labelsTr", labels)):
        (folder / kind).mkdir(parents=True)
        (folder / kind / names[0]).write_bytes(compressed(voxels))
        for name in names[1:]:
            shutil.copyfile(folder / kind / names[0], folder / kind / name)
    described = {
        "name": "Noise",
        "modality": {"0": "CT"},
        "labels": {"0": "background", "1": "slice"},
    }
    (folder / "dataset.json").write_text(json.dumps(described | listing(names)), "utf-8")
    return folder


def compressed(voxels: NDArray[Any]) -> bytes:
    """(D, H, W) voxels of 1 mm as a .nii.gz in RAS order."""
    image = nib.Nifti1Image(voxels.transpose(2, 1, 0), np.eye(4))
    image.header.set_xyzt_units("mm", "sec")
    return igzip.compress(image.to_bytes(), 1)


def listing(names: list[str]) -> dict[str, Any]:
    """What dataset.json says of the cases."""
    return {
        "numTraining": len(names),
        "training": [{"image": f"./imagesTr/{n}", "label": f"./labelsTr/{n}"} for n in names],
        "test": [],
    }
