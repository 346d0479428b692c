"""nibabel per item: every slice opens its volume's .nii.gz anew."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import nibabel as nib
import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform

from reading.batches import Batch, Plane, collated, rescaled
from reading.volumes import Item, Volumes

RAS = axcodes2ornt("RAS")


def read_slices(volumes: Volumes, items: Sequence[Item], *, whole: bool = False) -> Batch:
    """The slices, their minimum and maximum known beforehand.

    Args:
        volumes: what is read.
        items: which slices.
        whole: get_fdata, as loaders do that know nothing of slices; else the array proxy reads
            (and decompresses, up to its end) the slice alone.
    """
    return collated([(image(volumes, item, whole), label(volumes, item, whole)) for item in items])


def image(volumes: Volumes, item: Item, whole: bool) -> Plane:
    return rescaled(volumes.cache, item[0], plane(volumes, "images", item, whole))


def label(volumes: Volumes, item: Item, whole: bool) -> Plane:
    return plane(volumes, "labels", item, whole).astype(np.uint8)


def plane(volumes: Volumes, kind: str, item: Item, whole: bool) -> Plane:
    """Slice (H, W) of an image or its labels, in canonical order."""
    case, z = item
    loaded = nib.load(volumes.source(case, kind))
    stored = volumes.cache[case].z0 + z
    if whole:
        voxels = loaded.get_fdata(dtype=np.float32)[:, :, stored : stored + 1]
    else:
        voxels = np.asanyarray(loaded.dataobj[:, :, stored : stored + 1])
    turned = ornt_transform(io_orientation(loaded.affine), RAS)
    found: Plane = apply_orientation(voxels, turned)[:, :, 0].T
    return found


def mirrored_pairs(volumes: Volumes) -> Iterator[tuple[Item, Item]]:
    """Slices in pairs as far from the first as from the last, so that each pair costs the same.

    What the array proxy decompresses reaches up to the slice: half a volume on average.
    """
    depth = volumes.shape[0]
    for case, z in itertools.cycle(volumes.items(of=len(volumes.cache))):
        yield (case, z), (case, depth - 1 - z)
