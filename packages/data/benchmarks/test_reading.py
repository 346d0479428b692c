"""The benchmarks' own parts: what is compared, what counts as read, and who reads the same."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
from typing import Any

import numpy as np
import pytest
import torch
from reading import nibabel_items, ours
from reading.batches import assert_alike, collated
from reading.blosc2_maps import (
    IMAGES_2D,
    IMAGES_3D,
    LABELS_2D,
    LABELS_3D,
    Blosc2Maps,
    Layout,
    is_installed,
    within,
)
from reading.races import Reader, race
from reading.saved_volumes import SavedVolumes
from reading.sizes import TINY, Sizes
from reading.volumes import Volumes


@pytest.fixture(scope="session")
def sizes() -> Sizes:
    return TINY


def test_batches_that_differ_are_not_raced() -> None:
    images = np.linspace(0, 1, 24, dtype=np.float32).reshape(2, 3, 4)
    labels = np.zeros((2, 3, 4), np.uint8)
    rounded = images + np.float32(5e-7)
    assert_alike({"a": (images, labels), "b": (rounded, labels.astype(np.int16))})
    for other in ((images + 1e-4, labels), (images, labels + 1), (images[:1], labels[:1])):
        with pytest.raises(ValueError, match=r"^b and a differ"):
            assert_alike({"a": (images, labels), "b": other})


def test_seconds_are_those_of_an_item() -> None:
    def spend(_: Any) -> None:
        np.linalg.eigvals(np.ones((60, 60)))

    times = race({"one": Reader(1, spend), "four": Reader(4, spend)}, rounds=9)
    assert np.median(times["one"]) / np.median(times["four"]) == pytest.approx(4, rel=0.5)


def test_counted_batches_leave_the_first_and_the_last_of_an_epoch_out() -> None:
    drawn: list[int] = []

    def feed(epoch: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for _ in repeat(None, 12):
            drawn.append(epoch)
            yield torch.zeros(1), torch.zeros(1)

    reader = ours.drawn(feed, batches=12, batch=32)
    given = reader.prepare()
    assert drawn == [0] * 4
    reader.step(given)
    assert drawn == [0] * 10
    assert reader.items == 6 * 32
    reader.prepare()
    assert drawn[10:] == [1] * 4


def test_pairs_of_slices_lie_as_far_from_the_first_as_from_the_last(volumes: Volumes) -> None:
    pairs = nibabel_items.mirrored_pairs(volumes)
    for _, ((case, z), (same, mirrored)) in zip(range(40), pairs, strict=False):
        assert (case, z + mirrored) == (same, volumes.shape[0] - 1)


def test_a_saved_volume_gives_slices_and_volumes_of_the_cache(
    volumes: Volumes, saved: SavedVolumes
) -> None:
    (case,) = saved.paths
    images, labels = saved.slices([(case, 3), (case, 0)])
    np.testing.assert_array_equal(images[0], volumes.cache.slice(case, 3))
    np.testing.assert_array_equal(labels[1], volumes.cache.labels(case)[0])
    np.testing.assert_array_equal(saved.volumes([case])[0][0], volumes.cache.volume(case))


@pytest.mark.skipif(not is_installed(), reason="blosc2 is not installed")
def test_a_blosc2_map_gives_slices_and_volumes_of_the_cache(
    volumes: Volumes, tmp_path: Any
) -> None:
    case = volumes.cache.cases[0]
    maps = Blosc2Maps(volumes, tmp_path / "maps", cases=[case], images=IMAGES_3D, labels=LABELS_3D)
    images, labels = maps.slices([(case, 3), (case, 0)])
    np.testing.assert_array_equal(images[0], volumes.cache.slice(case, 3))
    np.testing.assert_array_equal(labels[1], volumes.cache.labels(case)[0])
    np.testing.assert_array_equal(maps.volumes([case])[0][0], volumes.cache.volume(case))


@pytest.mark.parametrize(
    ("layout", "itemsize", "patch"),
    [
        (IMAGES_2D, 4, (1, 1, 512, 512)),
        (LABELS_2D, 1, (1, 1, 512, 512)),
        (IMAGES_3D, 4, (1, 40, 224, 224)),
        (LABELS_3D, 1, (1, 40, 224, 224)),
    ],
)
def test_blocks_and_chunks_fit_the_caches_that_nnunet_has_in_mind(
    layout: Layout, itemsize: int, patch: tuple[int, ...]
) -> None:
    """A block twice as large would not fit; chunks are at most half as large again as patches."""
    block = itemsize * int(np.prod(layout.blocks))
    assert block <= 0.8 * 32 * 2**10 < 2 * block
    assert np.mean(np.divide(layout.chunks[1:], patch[1:])) <= 1.5
    assert all(chunk % side == 0 for chunk, side in zip(layout.chunks, layout.blocks, strict=True))
    assert within(layout.chunks, (4, 32, 32)) <= (1, 4, 32, 32)


def test_collated_batches_are_fresh_and_of_the_types_asked_for() -> None:
    pair = (np.ones((2, 2), np.float32), np.ones((2, 2), np.uint8))
    images, labels = collated([pair, pair], labels_as=np.int16)
    assert (images.dtype, labels.dtype, images.shape) == (np.float32, np.int16, (2, 2, 2))
    images[:] = 0
    assert pair[0].all()
