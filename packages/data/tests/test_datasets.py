from __future__ import annotations

import gc
import os
import pickle
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from tomolift.data import BadInput, Balance, Cache, Window, ZScore, build_cache, open_cache
from tomolift.data.datasets import SliceDataset, VolumeDataset
from tomolift.data.samplers import OrderedBatchSampler

Batch = tuple[torch.Tensor, torch.Tensor]
KINDS = [SliceDataset, VolumeDataset]
METHODS = ["fork", "spawn", "forkserver"]
forks = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@pytest.fixture
def cache(task: Any, tmp_path: Path) -> Cache:
    """Three cases of one size: one padded in depth, one float32."""
    task.add("a", seed=0, shape=(9, 8, 6))
    task.add("b", seed=1, shape=(9, 8, 3))
    task.add("d", np.random.default_rng(3).normal(size=(9, 8, 6)).astype(np.float32))
    build_cache(task.folder, tmp_path / "cache", depth=6, short="pad", workers=1)
    return open_cache(tmp_path / "cache")


def copies(batches: Any) -> list[Batch]:
    return [(images.clone(), labels.clone()) for images, labels in batches]


def assert_same(batches: list[Batch], others: list[Batch]) -> None:
    assert len(batches) == len(others)
    for (images, labels), (other_images, other_labels) in zip(batches, others, strict=True):
        assert torch.equal(images, other_images)
        assert torch.equal(labels, other_labels)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names only


@pytest.mark.parametrize("intensity", [Window(-500, 500), ZScore()])
@pytest.mark.parametrize("kind", KINDS)
def test_datasets_hold_what_the_feeders_yield(cache: Cache, kind: Any, intensity: Any) -> None:
    dataset = kind(cache, cases=["d", "a"], channels=3, intensity=intensity)
    feeder = cache.slices if kind is SliceDataset else cache.volumes
    fed = feeder(2, cases=["d", "a"], shuffle=False, channels=3, intensity=intensity)
    assert_same(list(DataLoader(dataset, batch_size=2)), copies(fed))


@pytest.mark.parametrize("kind", KINDS)
def test_samples_of_several_indices_are_the_samples_of_each(cache: Cache, kind: Any) -> None:
    dataset = kind(cache)
    assert_same(dataset.__getitems__([2, 0, 2, -1]), [dataset[2], dataset[0], dataset[2],
                                                     dataset[len(dataset) - 1]])  # fmt: skip
    with pytest.raises(IndexError):
        dataset[len(dataset)]


def test_three_channels_of_a_sample_are_one_memory(cache: Cache) -> None:
    assert SliceDataset(cache, channels=3)[0][0].stride(0) == 0
    assert VolumeDataset(cache, channels=3)[0][0].stride(0) == 0


@forks
@pytest.mark.parametrize("method", METHODS)
def test_worker_processes_yield_what_none_do(cache: Cache, method: str) -> None:
    """Two epochs with persistent workers, in the feeders' balanced order."""
    dataset = SliceDataset(cache, channels=3)
    sampler = OrderedBatchSampler(dataset, 4, seed=3, balance=Balance())
    loader = DataLoader(
        dataset, batch_sampler=sampler, num_workers=2, multiprocessing_context=method,
        persistent_workers=True, timeout=120,
    )  # fmt: skip
    for epoch in range(2):
        sampler.set_epoch(epoch)
        loaded = list(loader)
        assert_same(loaded, list(DataLoader(dataset, batch_sampler=sampler)))
        options: dict[str, Any] = {"balance": Balance(), "seed": 3, "epoch": epoch}
        assert_same(loaded, copies(cache.slices(4, **options, channels=3)))


@forks
def test_forked_workers_and_feeders_do_not_disturb_each_other(cache: Cache) -> None:
    """The parent's feeding thread runs, and its maps are open, while workers are forked."""
    expected = copies(cache.slices(3, seed=1))
    volumes = copies(cache.volumes(1))
    feeder = cache.slices(3, seed=1)
    fed = copies([next(feeder)])
    loader = DataLoader(
        VolumeDataset(cache), batch_sampler=OrderedBatchSampler(VolumeDataset(cache), 1),
        num_workers=2, multiprocessing_context="fork", timeout=60,
    )  # fmt: skip
    loaded = []
    for batch in loader:
        loaded.append(batch)
        fed += copies([next(feeder)])
    assert_same(loaded, volumes)
    assert_same(fed + copies(feeder), expected)


@forks
def test_loaders_leave_no_file_open(cache: Cache) -> None:
    dataset = SliceDataset(cache)
    counts = []
    for _ in range(4):
        loader = DataLoader(dataset, 4, num_workers=2, multiprocessing_context="fork", timeout=60)
        assert sum(len(labels) for _, labels in loader) == len(dataset)
        del loader
        gc.collect()
        counts.append(open_files())
    assert counts[1:] == [counts[0]] * 3  # the first may start what multiprocessing keeps


def test_a_sample_belongs_to_who_takes_it(cache: Cache) -> None:
    for dataset in (SliceDataset(cache), VolumeDataset(cache)):
        image, label = dataset[0]
        again = image.clone(), label.clone()
        image.fill_(7)
        label.fill_(7)
        assert_same([dataset[0]], [again])


@pytest.mark.parametrize("kind", KINDS)
def test_a_dataset_pickles_as_a_path(cache: Cache, kind: Any) -> None:
    dataset = kind(cache, cases=["d", "b"], channels=3, intensity=ZScore())
    again = pickle.loads(pickle.dumps(dataset))
    assert again.items == dataset.items
    assert_same(list(again), list(dataset))


def test_a_subclass_keeps_its_own_attributes(cache: Cache) -> None:
    dataset = SliceDataset(cache)
    dataset.degrees = 15  # type: ignore[attr-defined]
    assert pickle.loads(pickle.dumps(dataset)).degrees == 15


def test_datasets_of_281_cases_pickle_below_8_kb(task: Any, tmp_path: Path) -> None:
    """Task07's number of cases, made by writing one volume under 281 names."""
    names = [f"pancreas_{index:03d}" for index in range(281)]
    task.add(names[0], shape=(3, 2, 4))
    for name in names[1:]:
        shutil.copyfile(task.image(names[0]), task.image(name))
        shutil.copyfile(task.label(names[0]), task.label(name))
        image, label = f"./imagesTr/{name}.nii.gz", f"./labelsTr/{name}.nii.gz"
        task.entries.append({"image": image, "label": label})
    task.write()
    build_cache(task.folder, tmp_path / "many", depth=4, workers=1)
    many = open_cache(tmp_path / "many")
    for cases in (None, names):
        for kind, length in ((SliceDataset, 4 * 281), (VolumeDataset, 281)):
            data = pickle.dumps(kind(many, cases=cases))
            assert len(data) < 8192
            assert len(pickle.loads(data)) == length


@forks
@pytest.mark.parametrize("workers", [0, 2])
def test_samples_of_a_cache_that_was_rebuilt_are_refused(
    cache: Cache, task: Any, workers: int
) -> None:
    """With workers torch turns every error of several arguments into a RuntimeError."""
    loader = DataLoader(
        VolumeDataset(cache), num_workers=workers, timeout=60 if workers else 0,
        multiprocessing_context="fork" if workers else None,
    )  # fmt: skip
    task.add("a", seed=9, shape=(9, 8, 6))
    task.entries.pop()
    task.write()
    build_cache(task.folder, cache.path, depth=6, short="pad", workers=1)
    error = RuntimeError if workers else BadInput
    with pytest.raises(error, match=r"was rebuilt; open it again \[E_CACHE\]"):
        list(loader)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_pinned_batches_are_the_same(cache: Cache) -> None:
    dataset = SliceDataset(cache)
    loader = DataLoader(dataset, 4, pin_memory=True, num_workers=2, timeout=120)
    loaded = list(loader)
    assert all(images.is_pinned() and labels.is_pinned() for images, labels in loaded)
    assert_same(loaded, list(DataLoader(dataset, 4)))


@pytest.mark.parametrize("kind", KINDS)
def test_an_order_has_every_epoch_rank_and_start_of_the_feeders(cache: Cache, kind: Any) -> None:
    dataset = kind(cache)
    order = cache.slice_order if kind is SliceDataset else cache.volume_order
    for epoch in (0, 4):
        for rank in range(2):
            sampler = OrderedBatchSampler(dataset, 1, seed=7, rank=rank, world=2)
            sampler.set_epoch(epoch, start=1)
            expected = order(1, seed=7, epoch=epoch, rank=rank, world=2)[1:]
            assert len(sampler) == len(expected)
            drawn = [tuple(dataset.items[index] for index in batch) for batch in sampler]
            assert drawn == expected


def test_epochs_differ_and_a_loader_knows_its_length(cache: Cache) -> None:
    dataset = SliceDataset(cache)
    sampler = OrderedBatchSampler(dataset, 4)
    orders = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        orders.append(list(sampler))
    assert all(first != second for first, second in pairwise(orders))
    assert len(DataLoader(dataset, batch_sampler=sampler)) == len(orders[0]) == 4


def test_an_unshuffled_order_is_the_dataset(cache: Cache) -> None:
    dataset = SliceDataset(cache)
    sampler = OrderedBatchSampler(dataset, 4, shuffle=False)
    assert [index for batch in sampler for index in batch] == list(range(len(dataset)))


def test_impossible_options_are_refused(cache: Cache) -> None:
    slices, volumes = SliceDataset(cache), VolumeDataset(cache)
    for call in (
        lambda: SliceDataset(cache, channels=0),
        lambda: VolumeDataset(cache, cases=["nobody"]),
        lambda: OrderedBatchSampler(slices, 0),
        lambda: OrderedBatchSampler(slices, rank=1),
        lambda: OrderedBatchSampler(slices, shuffle=False, balance=Balance()),
        lambda: OrderedBatchSampler(volumes, balance=Balance()),
        lambda: OrderedBatchSampler(slices).set_epoch(-1),
        lambda: OrderedBatchSampler(slices).set_epoch(0, start=-1),
    ):
        with pytest.raises(BadInput, match="E_ARGUMENT"):
            call()
