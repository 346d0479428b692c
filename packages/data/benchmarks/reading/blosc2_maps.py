"""The way of nnU-Net: a compressed, chunked and memory-mapped array a case, opened for every item.

Chunks are its unit of reading, blocks its unit of decompression. By nnU-Net's rule a block is the
patch in powers of two, halved where it is largest beside the patch until it fits 80 % of an L1
cache of 32 KiB; a chunk is blocks side by side up to 80 % of 1.375 MiB, and at most half as large
again as the patch on average. SHAPES is what that comes to for patches of 512x512 and of 40x224x224
(Task07_Pancreas) in volumes of 512x512 slices, for float32 images and for labels of a byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from reading.batches import Batch, collated
from reading.volumes import Item, Volumes

NOT_INSTALLED = "blosc2 is not installed"
Shape = tuple[int, int, int, int]  # channel, depth, height, width


@dataclass(frozen=True)
class Layout:
    """Chunks and blocks of an array."""

    chunks: Shape
    blocks: Shape


IMAGES_2D = Layout((1, 1, 512, 512), (1, 1, 64, 64))
LABELS_2D = Layout((1, 1, 512, 512), (1, 1, 128, 128))
IMAGES_3D = Layout((1, 20, 128, 128), (1, 4, 32, 32))
LABELS_3D = Layout((1, 40, 256, 128), (1, 8, 64, 32))


def is_installed() -> bool:
    return find_spec("blosc2") is not None


class Blosc2Maps:
    """Images already rescaled, float32, and labels int8, in two .b2nd files a case.

    Batches have labels int16, as nnU-Net's loader makes them.
    """

    def __init__(
        self,
        volumes: Volumes,
        folder: Path,
        *,
        cases: Sequence[str],
        images: Layout,
        labels: Layout,
    ) -> None:
        import blosc2

        blosc2.set_nthreads(1)
        self.folder = folder
        folder.mkdir()
        compression = {"codec": blosc2.Codec.ZSTD, "clevel": 8}
        for case in cases:
            arrays = (volumes.cache.volume(case), volumes.cache.labels(case).astype(np.int8))
            for path, voxels, layout in zip(
                self.paths(case), arrays, (images, labels), strict=True
            ):
                blosc2.asarray(
                    voxels[None], urlpath=str(path), cparams=compression, mmap_mode="w+",
                    chunks=within(layout.chunks, voxels.shape),
                    blocks=within(layout.blocks, voxels.shape),
                )  # fmt: skip

    def slices(self, items: Sequence[Item]) -> Batch:
        pairs = []
        for case, z in items:
            image, label = self.opened(case)
            pairs.append((image[0, z], label[0, z]))
        return collated(pairs, labels_as=np.int16)

    def volumes(self, cases: Sequence[str]) -> Batch:
        pairs = [(image[0], label[0]) for image, label in map(self.opened, cases)]
        return collated(pairs, labels_as=np.int16)

    def opened(self, case: str) -> tuple[Any, Any]:
        """Both arrays of a case, memory-mapped; nothing is decompressed yet."""
        import blosc2

        image, label = (
            blosc2.open(str(path), mode="r", mmap_mode="r", dparams={"nthreads": 1})
            for path in self.paths(case)
        )
        return image, label

    def paths(self, case: str) -> tuple[Path, Path]:
        return self.folder / f"{case}.b2nd", self.folder / f"{case}_seg.b2nd"


def within(wanted: Shape, voxels: tuple[int, ...]) -> tuple[int, ...]:
    """Chunks or blocks, nowhere larger than the array of one channel."""
    return tuple(min(pair) for pair in zip(wanted, (1, *voxels), strict=True))
