"""3D batches against how others read their volumes: CPU time of a volume."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from measuring.result import speed_up
from reading import ours
from reading.batches import assert_alike
from reading.blosc2_maps import IMAGES_3D, LABELS_3D, NOT_INSTALLED, Blosc2Maps, is_installed
from reading.races import Reader, race
from reading.saved_volumes import SavedVolumes
from reading.sizes import Sizes
from reading.volumes import Volumes

Keep = Callable[..., None]
ONE = "batches of one volume"


def test_volumes_against_saved_volumes(
    volumes: Volumes, saved: SavedVolumes, sizes: Sizes, keep: Keep
) -> None:
    first = volumes.cache.cases[0]
    assert_alike({"ours": ours.one_volume(volumes, first), "saved": saved.volumes([first])})
    readers = {
        "ours": ours.whole_volumes(volumes),
        "saved volume": Reader(1, lambda _: saved.volumes([first])),
    }
    times = race(readers, rounds=sizes.rounds)
    metrics = {"3D batches, times a saved volume per item": speed_up(times, "saved volume")}
    keep(times, group=volumes.describe(), metrics=metrics, note=ONE)


def test_volumes_against_a_blosc2_map(
    volumes: Volumes, scratch: Path, sizes: Sizes, keep: Keep
) -> None:
    metric = "3D batches, times a blosc2 map"
    readers = {"ours": ours.whole_volumes(volumes)}
    if is_installed():
        first = volumes.cache.cases[0]
        maps = Blosc2Maps(
            volumes, scratch / "maps-3d", cases=[first], images=IMAGES_3D, labels=LABELS_3D
        )
        assert_alike({"ours": ours.one_volume(volumes, first), "blosc2": maps.volumes([first])})
        readers["blosc2 map"] = Reader(1, lambda _: maps.volumes([first]))
    times = race(readers, rounds=sizes.rounds)
    keep(
        times,
        group=volumes.describe(),
        metrics={metric: speed_up(times, "blosc2 map")} if "blosc2 map" in times else {},
        not_run={} if "blosc2 map" in times else {metric: NOT_INSTALLED},
        note=ONE,
    )
