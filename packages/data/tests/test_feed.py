from __future__ import annotations

import gc
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tomolift.data import BadInput, Cache, Window, ZScore, build_cache, open_cache


@pytest.fixture
def cache(task: Any, tmp_path: Path) -> Cache:
    """Four cases: two sizes, one padded in depth, one float32."""
    task.add("a", seed=0, shape=(9, 8, 6))
    task.add("b", seed=1, shape=(9, 8, 3))
    task.add("c", seed=2, shape=(6, 11, 7))
    values = np.random.default_rng(3).normal(size=(9, 8, 6)).astype(np.float32)
    task.add("d", values)
    build_cache(task.folder, tmp_path / "cache", depth=6, short="pad", workers=1)
    return open_cache(tmp_path / "cache")


def copies(batches: Any) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(images.clone(), labels.clone()) for images, labels in batches]


@pytest.mark.parametrize("ring", [0, 2, 3, 5])
@pytest.mark.parametrize("intensity", [Window(-500, 500), ZScore()])
def test_slices_are_the_caches_slices_in_their_order(
    cache: Cache, ring: int, intensity: Any
) -> None:
    options: dict[str, Any] = {"cases": ["a", "b", "d"], "seed": 4, "epoch": 2}
    order = cache.slice_order(4, **options)
    batches = copies(cache.slices(4, **options, ring=ring, intensity=intensity))
    assert len(batches) == len(order)
    for (images, labels), items in zip(batches, order, strict=True):
        assert images.dtype == torch.float32
        assert labels.dtype == torch.uint8
        assert images.shape == (len(items), 1, 8, 9)
        for image, label, (case, z) in zip(images, labels, items, strict=True):
            expected = cache.slice(case, z, intensity=intensity)
            np.testing.assert_array_equal(image[0].numpy(), expected)
            np.testing.assert_array_equal(label.numpy(), cache.labels(case)[z])


def test_volumes_are_the_caches_volumes_in_their_order(cache: Cache) -> None:
    order = cache.volume_order(2, cases=["a", "b", "d"], seed=1)
    batches = copies(cache.volumes(2, cases=["a", "b", "d"], seed=1))
    for (images, labels), cases in zip(batches, order, strict=True):
        assert images.shape == (len(cases), 1, 6, 8, 9)
        for image, label, case in zip(images, labels, cases, strict=True):
            np.testing.assert_array_equal(image[0].numpy(), cache.volume(case))
            np.testing.assert_array_equal(label.numpy(), cache.labels(case))


def test_no_slice_is_all_padding(cache: Cache) -> None:
    count = 0
    for _, labels in cache.slices(5, cases=["a", "b", "d"]):
        assert (labels != 255).flatten(1).any(1).all()
        count += len(labels)
    assert count == 6 + 3 + 6


def test_sizes_that_differ_in_a_batch_are_centred_in_ignored_minimum(cache: Cache) -> None:
    ((images, labels),) = copies(cache.volumes(2, cases=["a", "c"], shuffle=False))
    assert images.shape == (2, 1, 6, 11, 9)
    np.testing.assert_array_equal(images[0, 0, :, 1:9].numpy(), cache.volume("a"))
    np.testing.assert_array_equal(labels[0, :, 1:9].numpy(), cache.labels("a"))
    np.testing.assert_array_equal(images[1, 0, :, :, 1:7].numpy(), cache.volume("c"))
    for image, label in ((images[0, 0, :, 0], labels[0, :, 0]), (images[1, 0, ..., 7:],
                                                                labels[1, ..., 7:])):  # fmt: skip
        assert (image == 0).all()
        assert (label == 255).all()


def test_three_channels_are_one_memory(cache: Cache) -> None:
    images, _ = next(iter(cache.slices(4, channels=3, cases=["a"])))
    assert images.shape == (4, 3, 8, 9)
    assert images.stride(1) == 0
    volumes, _ = next(iter(cache.volumes(2, channels=3, cases=["a", "d"])))
    assert volumes.shape == (2, 3, 6, 8, 9)


def test_start_resumes_where_an_interrupted_epoch_stopped(cache: Cache) -> None:
    whole = copies(cache.slices(4, seed=1))
    rest = copies(cache.slices(4, seed=1, start=3))
    assert len(rest) == len(whole) - 3
    for (images, labels), (others, other_labels) in zip(whole[3:], rest, strict=True):
        assert torch.equal(images, others)
        assert torch.equal(labels, other_labels)
    assert copies(cache.slices(4, start=1000)) == []


def test_a_batch_is_valid_until_ring_minus_one_more_are_drawn(cache: Cache) -> None:
    for ring in (2, 3, 4):
        batches = cache.slices(1, shuffle=False, cases=["a", "b", "d"], ring=ring)
        held: list[tuple[torch.Tensor, torch.Tensor]] = []
        for images, _ in batches:
            held = [*held, (images, images.clone())][-(ring - 1) :]
            time.sleep(0.002)  # let the thread run as far ahead as it may
            assert all(torch.equal(image, copy) for image, copy in held)


def test_a_ring_reuses_its_buffers_and_ring_0_does_not(cache: Cache) -> None:
    options: dict[str, Any] = {"cases": ["a", "d"], "shuffle": False}
    addresses = [images.data_ptr() for images, _ in cache.slices(1, ring=3, **options)]
    assert len(set(addresses)) == 3
    kept = list(cache.slices(1, ring=0, **options))
    assert len({images.data_ptr() for images, _ in kept}) == len(kept)


def test_iterators_over_one_cache_do_not_disturb_each_other(cache: Cache) -> None:
    slices, volumes = cache.slices(2, seed=1), cache.volumes(1, intensity=ZScore())
    other = cache.slices(2, seed=1, start=4)
    together: list[list[tuple[torch.Tensor, torch.Tensor]]] = [[], [], []]
    for _ in range(4):
        for drawn, batches in zip(together, (slices, volumes, other), strict=True):
            drawn += copies([next(batches)])
    alone = [cache.slices(2, seed=1), cache.volumes(1, intensity=ZScore()),
             cache.slices(2, seed=1, start=4)]  # fmt: skip
    for drawn, batches in zip(together, alone, strict=True):
        expected = copies(batches)[:4]
        for (images, labels), (others, other_labels) in zip(drawn, expected, strict=True):
            assert torch.equal(images, others)
            assert torch.equal(labels, other_labels)


def test_an_error_in_the_thread_surfaces_in_the_consumer(cache: Cache) -> None:
    (path,) = cache.path.glob("volumes/b.*image.npy")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BadInput, match="E_CACHE"):
        copies(cache.slices(4))


def test_leaving_early_stops_the_thread(cache: Cache) -> None:
    before = threading.active_count()
    for _ in cache.slices(1):
        break
    gc.collect()
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before


def test_an_iterator_that_is_never_started_costs_no_thread(cache: Cache) -> None:
    before = threading.active_count()
    iterator = cache.volumes(1)
    assert threading.active_count() == before
    del iterator


@pytest.mark.parametrize(
    "options",
    [{"batch": 0}, {"channels": 0}, {"ring": 1}, {"ring": -1}, {"start": -1}, {"device": "meta"},
     {"device": "gpu"},      {"cases": ["nobody"]}, {"rank": 2, "world": 2}],
)  # fmt: skip
def test_impossible_options_are_refused_at_the_call(cache: Cache, options: Any) -> None:
    with pytest.raises(BadInput, match="E_ARGUMENT"):
        cache.slices(**options)
