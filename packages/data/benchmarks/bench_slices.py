"""2D batches against how others read their slices: CPU time of a slice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from measuring.result import speed_up
from reading import nibabel_items, ours
from reading.batches import assert_alike
from reading.blosc2_maps import IMAGES_2D, LABELS_2D, NOT_INSTALLED, Blosc2Maps, is_installed
from reading.loader import Loader, Slices
from reading.races import Reader, race
from reading.saved_volumes import SavedVolumes
from reading.sizes import Sizes
from reading.volumes import Volumes

from tomolift.data.datasets import SliceDataset

Keep = Callable[..., None]
FEW = 4  # items, where each takes a tenth of a second


def test_slices_against_nibabel(volumes: Volumes, sizes: Sizes, keep: Keep) -> None:
    few = volumes.items(of=1)[:FEW]
    one_slice = partial(nibabel_items.read_slices, volumes)
    whole_volume = partial(one_slice, whole=True)
    assert_alike(
        {
            "ours": ours.first_slices(volumes, few),
            "nibabel": one_slice(few),
            "get_fdata": whole_volume(few),
        }
    )
    pairs = nibabel_items.mirrored_pairs(volumes)
    readers = {
        "ours": ours.slices(volumes, sizes.batch),
        "nibabel": Reader(2, one_slice, lambda: next(pairs)),
        "get_fdata": Reader(2, whole_volume, lambda: next(pairs)),
    }
    times = race(readers, rounds=sizes.rounds)
    metrics = {
        "2D batches, times nibabel per item": speed_up(times, "nibabel"),
        "2D batches, times get_fdata per item": speed_up(times, "get_fdata"),
    }
    keep(times, group=volumes.describe(), metrics=metrics, note=f"batches of {sizes.batch}")


def test_slices_against_saved_volumes(
    volumes: Volumes, saved: SavedVolumes, sizes: Sizes, keep: Keep
) -> None:
    few = volumes.items(of=1)[:FEW]
    assert_alike({"ours": ours.first_slices(volumes, few), "saved": saved.slices(few)})
    readers = {
        "ours": ours.slices(volumes, sizes.batch),
        "saved volume": Reader(len(few), lambda _: saved.slices(few)),
    }
    times = race(readers, rounds=sizes.rounds)
    metrics = {"2D batches, times a saved volume per item": speed_up(times, "saved volume")}
    keep(times, group=volumes.describe(), metrics=metrics, note=f"batches of {sizes.batch}")


def test_slices_against_a_blosc2_map(
    volumes: Volumes, scratch: Path, sizes: Sizes, keep: Keep
) -> None:
    metric = "2D batches, times a blosc2 map"
    readers = {"ours": ours.slices(volumes, sizes.batch)}
    if is_installed():
        cases = volumes.cache.cases[:2]
        maps = Blosc2Maps(
            volumes, scratch / "maps-2d", cases=cases, images=IMAGES_2D, labels=LABELS_2D
        )
        batch = volumes.items(of=len(cases))[: sizes.batch]
        assert_alike({"ours": ours.first_slices(volumes, batch), "blosc2": maps.slices(batch)})
        readers["blosc2 map"] = Reader(len(batch), lambda _: maps.slices(batch))
    times = race(readers, rounds=sizes.rounds)
    keep(
        times,
        group=volumes.describe(),
        metrics={metric: speed_up(times, "blosc2 map")} if "blosc2 map" in times else {},
        not_run={} if "blosc2 map" in times else {metric: NOT_INSTALLED},
        note=f"batches of {sizes.batch}",
    )


@pytest.fixture
def loaders(volumes: Volumes, sizes: Sizes) -> Iterator[dict[str, Loader]]:
    """By hand, and with the package's own dataset; their workers end with the test."""
    cases = volumes.cache.cases[:2]
    made = {
        "DataLoader": Loader(Slices(volumes, cases=cases), sizes.batch),
        "DataLoader, SliceDataset": Loader(
            SliceDataset(volumes.cache, cases=cases, channels=Slices.channels), sizes.batch
        ),
    }
    yield made
    for loader in made.values():
        loader.close()


def test_three_channels_against_dataloader(
    volumes: Volumes, loaders: dict[str, Loader], sizes: Sizes, keep: Keep
) -> None:
    unshuffled = volumes.cache.slices(sizes.batch, channels=3, shuffle=False, ring=0)
    expected = ours.arrays(*next(iter(unshuffled)))
    assert_alike(
        {"ours": expected} | {name: loader.first_batch() for name, loader in loaders.items()}
    )
    readers = {"ours": ours.slices(volumes, sizes.batch, channels=3)}
    for name, loader in loaders.items():
        readers[name] = Reader(len(loader), loader.epoch)
    times = race(readers, rounds=sizes.rounds)
    with_two = "2D batches of 3 channels, times DataLoader with 2 workers"
    metrics = {
        with_two: speed_up(times, "DataLoader"),
        f"{with_two} and SliceDataset": speed_up(times, "DataLoader, SliceDataset"),
    }
    keep(times, group=volumes.describe(), metrics=metrics, note=f"batches of {sizes.batch}")
