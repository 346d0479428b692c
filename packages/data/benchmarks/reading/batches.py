"""What every way of reading ends in: a batch of images float32 and labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from tomolift.data import Cache

Plane = NDArray[Any]
Batch = tuple[NDArray[np.float32], NDArray[Any]]  # images and labels, (N, ..., H, W) both

ROUNDINGS = 1e-6  # of float32 numbers up to 1, rescaled in another order of operations


def collated(pairs: Sequence[tuple[Plane, Plane]], *, labels_as: DTypeLike = np.uint8) -> Batch:
    """Images and labels of the items in a fresh array each, as every peer allocates them."""
    images = np.empty((len(pairs), *pairs[0][0].shape), np.float32)
    labels = np.empty(images.shape, labels_as)
    for index, (image, label) in enumerate(pairs):
        images[index], labels[index] = image, label
    return images, labels


def rescaled(cache: Cache, case: str, voxels: NDArray[Any]) -> NDArray[np.float32]:
    """The volume's minimum to 0 and its maximum to 1, both known beforehand."""
    statistics = cache[case].statistics
    low, high = statistics.minimum, statistics.maximum
    scaled = (voxels.astype(np.float32) - np.float32(low)) * np.float32(1 / (high - low))
    return np.clip(scaled, 0, 1, out=scaled)


def assert_alike(batches: Mapping[str, Batch]) -> None:
    """Hold what every way of reading gives against the first one's.

    Raises:
        ValueError: two differ; the message names them.
    """
    first = next(iter(batches))
    images, labels = batches[first]
    for name, (other_images, other_labels) in batches.items():
        same = images.shape == other_images.shape and np.array_equal(labels, other_labels)
        if not same or np.abs(images - other_images).max() > ROUNDINGS:
            raise ValueError(f"{name} and {first} differ: a race between them tells nothing")
