from __future__ import annotations

import json
import pickle
import resource
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tomolift.data import (
    BadInput,
    Cache,
    Window,
    build_cache,
    check_cache,
    open_cache,
    read_volume,
)
from tomolift.data._format import canonical_json, signed
from tomolift.data._manifest import check_sizes

KINDS = ("image", "label")


@pytest.fixture
def cache(task: Any, tmp_path: Path) -> Cache:
    task.add("b", seed=0, shape=(7, 6, 5))
    task.add("a", seed=1, shape=(9, 4, 8))
    build_cache(task.folder, tmp_path / "cache", depth=6, short="pad", workers=1)
    return open_cache(tmp_path / "cache")


def forge(cache: Cache, change: Any) -> None:
    """Rewrite the manifest with a right checksum: what an attacker would do."""
    path = cache.path / "CACHE.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_bytes(canonical_json(signed(content)))


def test_a_cache_tells_what_it_holds(cache: Cache) -> None:
    assert cache.cases == ("b", "a")
    assert (cache.depth, cache.num_classes, cache.ignore_label) == (6, 3, 255)
    assert cache.label_names == ("background", "organ", "tumour")
    assert cache.task_name == "Test"
    assert len(cache) == 2
    assert "a" in cache
    assert cache["a"].shape == (6, 4, 9)


def test_checksums_of_a_case_are_those_of_its_files(cache: Cache) -> None:
    for case in cache.cases:
        files = [next(cache.path.glob(f"volumes/{case}.*.{kind}.npy")) for kind in KINDS]
        assert cache[case].checksums == tuple(zlib.crc32(file.read_bytes()) for file in files)


def test_a_pickled_cache_is_a_path(cache: Cache) -> None:
    cache.raw("a")
    data = pickle.dumps(cache)
    assert len(data) < 1000
    np.testing.assert_array_equal(pickle.loads(data).raw("a"), cache.raw("a"))


@pytest.fixture
def cubes(task: Any) -> Any:
    """A task whose volumes are equally large, and other, with stored axes."""
    for index, name in enumerate("ab"):
        task.add(name, seed=index, shape=(5, 5, 5), affine=np.diag([-2.0, -3.0, 4.0, 1.0]))
    return task


def test_a_cache_that_was_rebuilt_is_never_mixed_with_the_new_one(
    cubes: Any, tmp_path: Path
) -> None:
    build_cache(cubes.folder, tmp_path / "cache", depth=5, workers=1)
    cache = open_cache(tmp_path / "cache")
    before = cache.raw("a").copy()
    pickled = pickle.dumps(cache)
    build_cache(cubes.folder, tmp_path / "cache", depth=5, workers=1, axes="stored")
    np.testing.assert_array_equal(cache.raw("a"), before)  # still mapped
    for look in (cache.raw, cache.labels, cache.__getitem__, cache.volume):
        with pytest.raises(BadInput, match=r"/b\..*: was rebuilt; open it again \[E_CACHE\]"):
            look("b")
    with pytest.raises(BadInput, match=r"was rebuilt; open it again \[E_CACHE\]"):
        pickle.loads(pickled)
    assert open_cache(tmp_path / "cache").raw("b").shape == (5, 5, 5)


def test_a_record_that_goes_while_it_is_asked_for_was_rebuilt(
    cubes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_cache(cubes.folder, tmp_path / "cache", depth=5, workers=1)
    cache = open_cache(tmp_path / "cache")

    def meanwhile(*arguments: Any) -> None:
        build_cache(cubes.folder, tmp_path / "cache", depth=5, workers=1, axes="stored")

    monkeypatch.setattr("tomolift.data._cache.check_stamp", meanwhile)
    with pytest.raises(BadInput, match=r"\.json: was rebuilt; open it again"):
        cache["a"]


def test_an_open_cache_outlives_a_build_that_adds_cases(cubes: Any, tmp_path: Path) -> None:
    build_cache(cubes.folder, tmp_path / "cache", depth=5, workers=1, cases=["a"])
    cache = open_cache(tmp_path / "cache")
    build_cache(cubes.folder, tmp_path / "cache", depth=5, workers=1)
    np.testing.assert_array_equal(cache.raw("a"), open_cache(tmp_path / "cache").raw("a"))


def test_a_cache_that_is_rebuilt_while_it_is_opened_is_the_new_one(
    cubes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_cache(cubes.folder, tmp_path / "cache", depth=5, workers=1)
    looked = []

    def meanwhile(*arguments: Any) -> Any:
        if not looked:  # the manifest of the old one is read, its files are gone
            build_cache(cubes.folder, tmp_path / "cache", depth=5, workers=1, axes="stored")
        looked.append(arguments)
        return check_sizes(*arguments)

    monkeypatch.setattr("tomolift.data._opening.check_sizes", meanwhile)
    cache = open_cache(tmp_path / "cache")
    assert cache.configuration.axes == "stored"
    build_cache(cubes.folder, tmp_path / "fresh", depth=5, workers=1, axes="stored")
    for case in cache.cases:
        np.testing.assert_array_equal(cache.raw(case), open_cache(tmp_path / "fresh").raw(case))


def test_a_cache_that_is_rebuilt_all_the_time_is_refused(
    cubes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    axes = ["canonical", "stored"]

    def meanwhile(*arguments: Any) -> Any:
        axes.reverse()
        build_cache(cubes.folder, tmp_path / "cache", depth=5, workers=1, axes=axes[0])
        return check_sizes(*arguments)

    build_cache(cubes.folder, tmp_path / "cache", depth=5, workers=1)
    monkeypatch.setattr("tomolift.data._opening.check_sizes", meanwhile)
    with pytest.raises(BadInput, match=r"cache: was rebuilt; open it again \[E_CACHE\]"):
        open_cache(tmp_path / "cache")


def test_the_old_cache_is_open_to_all_until_the_new_one_is_finished(
    cubes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_cache(cubes.folder, tmp_path / "cache", depth=5, workers=1)
    before = {case: open_cache(tmp_path / "cache").raw(case).copy() for case in "ab"}
    seen = []

    def look(done: int, total: int, case: str, status: str) -> None:
        cache = open_cache(tmp_path / "cache")
        assert check_cache(tmp_path / "cache") == ()
        for name in "ab":
            np.testing.assert_array_equal(cache.raw(name), before[name])
        seen.append((done, total, status))

    cache = tmp_path / "cache"
    build_cache(cubes.folder, cache, depth=5, workers=1, axes="stored", progress=look)
    assert seen == [(1, 2, "ok"), (2, 2, "ok")]
    assert open_cache(cache).configuration.axes == "stored"
    assert len(list(cache.glob("volumes/*"))) == 6  # the old ones are gone


def test_views_are_of_the_map_and_cost_no_copy(cache: Cache) -> None:
    first, second = cache.raw("a"), cache.raw("a")
    assert np.shares_memory(first, second)
    assert cache.labels("a").dtype == np.uint8
    start = time.perf_counter()
    for _ in range(1000):
        cache.raw("a")
    assert time.perf_counter() - start < 0.2  # target 20 us each; ten times that on a busy machine


def test_writing_into_a_view_never_reaches_the_file(cache: Cache) -> None:
    before = next(cache.path.glob("volumes/a.*.image.npy")).read_bytes()
    cache.raw("a")[:] = 0
    assert next(cache.path.glob("volumes/a.*.image.npy")).read_bytes() == before


def test_volume_and_slice_are_fresh_and_rescaled_alike(cache: Cache) -> None:
    window = Window(-500, 500)
    volume = cache.volume("a", intensity=window)
    expected = np.clip((cache.raw("a").astype(np.float64) + 500) / 1000, 0, 1)
    np.testing.assert_allclose(volume, expected, atol=1e-6)
    np.testing.assert_array_equal(cache.slice("a", 3, intensity=window), volume[3])
    volume[:] = 7
    assert cache.volume("a").max() <= 1


def test_grey_values_beyond_a_policy_are_refused_by_case(task: Any, tmp_path: Path) -> None:
    task.add("wide", np.array([[[-3e38, 3e38]]], np.float32))
    build_cache(task.folder, tmp_path / "cache", depth=2, workers=1)
    cache = open_cache(tmp_path / "cache")
    with pytest.raises(BadInput, match=r"^wide: .*E_INTENSITY"):
        cache.volume("wide")
    with pytest.raises(BadInput, match=r"wide\.nii\.gz: .*E_INTENSITY"):
        read_volume(task.image("wide"))
    assert cache.volume("wide", intensity=Window(0, 1)).max() == 1


@pytest.mark.parametrize("z", [-1, 6])
def test_a_slice_outside_the_volume_is_refused(cache: Cache, z: int) -> None:
    with pytest.raises(BadInput, match=r"^z: is .*expected 0..5"):
        cache.slice("a", z)


def test_an_unknown_case_is_refused_by_name(cache: Cache) -> None:
    with pytest.raises(BadInput, match="'nobody' is unknown"):
        cache.raw("nobody")


def test_many_open_maps_stay_within_the_descriptor_limit(task: Any, tmp_path: Path) -> None:
    for index in range(12):
        task.add(f"c{index}", seed=index)
    build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    program = (
        "import resource, sys; from tomolift.data import open_cache;"
        "caches = [open_cache(sys.argv[1]) for _ in range(4)];"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16));"
        "[int(cache.raw(case).sum()) for case in caches[0].cases for cache in caches * 2];"
        "[int(cache.raw(case).sum()) for cache in caches * 2 for case in cache.cases]"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "cache")], check=True)


def test_without_a_descriptor_limit_maps_stay_open(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    assert np.shares_memory(cache.raw("a"), cache.raw("a"))


def test_a_process_forked_while_a_thread_maps_a_file_can_map_too(cache: Cache) -> None:
    program = """
import os, signal, sys, threading, time
from tomolift.data import _maps, open_cache
cache, real, busy = open_cache(sys.argv[1]), _maps._map, threading.Event()
def slow(*arguments):
    busy.set()
    time.sleep(0.2)
    return real(*arguments)
_maps._map = slow
thread = threading.Thread(target=cache.raw, args=("a",))
thread.start()
busy.wait()
if (child := os.fork()) == 0:
    signal.alarm(5)  # ends the child where it waits for a lock that nobody holds
    cache.raw("b")
    os._exit(0)
thread.join()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program, str(cache.path)]
    subprocess.run(command, check=True, timeout=30)


def test_importing_building_and_reading_never_import_torch(task: Any, tmp_path: Path) -> None:
    task.add("a")
    program = (
        "import sys; from tomolift.data import build_cache, open_cache, read_volume;"
        "build_cache(sys.argv[1], sys.argv[2], depth=5, workers=1);"
        "open_cache(sys.argv[2]).volume('a');"
        "from tomolift.data._cli import main; main(['verify', sys.argv[1]]); main(['--help']);"
        "assert 'torch' not in sys.modules"
    )
    command = [sys.executable, "-c", program, str(task.folder), str(tmp_path / "cache")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"nul", b"[" * 100000, b'{"crc32": NaN}'])
def test_a_damaged_manifest_is_refused(cache: Cache, data: bytes) -> None:
    (cache.path / "CACHE.json").write_bytes(data)
    with pytest.raises(BadInput, match="E_CACHE"):
        open_cache(cache.path)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.update(version=1),
        lambda c: c.pop("entries"),
        lambda c: c.update(ignore_label=0),
        lambda c: c.update(label_names=[]),
        lambda c: c["configuration"].update(depth=7),
        lambda c: c["configuration"].update(colour="red"),
        lambda c: c["entries"][0].update(case="../../etc/passwd"),
        lambda c: c["entries"][0].update(case="a"),
        lambda c: c["entries"][0].update(shape=[6, 10**9, 10**9]),
        lambda c: c["entries"][0].update(shape=[6, -1, 4]),
        lambda c: c["entries"][0].update(dtype="|O"),
        lambda c: c["entries"][0].update(valid=[0, 9]),
        lambda c: c["entries"][0].update(record_crc32=1),
        lambda c: c["entries"][0].pop("status"),
    ],
)
def test_a_forged_manifest_is_refused(cache: Cache, change: Any) -> None:
    forge(cache, change)
    with pytest.raises(BadInput, match="E_CACHE"):
        open_cache(cache.path)["b"]


def test_a_damaged_npy_header_is_refused(cache: Cache) -> None:
    path = next(cache.path.glob("volumes/a.*.label.npy"))
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)
    with pytest.raises(BadInput, match=r"a\..*\.label\.npy: has a damaged .npy header.*E_CACHE"):
        open_cache(cache.path).labels("a")


def test_a_file_that_shrinks_after_opening_is_refused_and_no_sigbus(cache: Cache) -> None:
    path = next(cache.path.glob("volumes/a.*.image.npy"))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BadInput, match="E_CACHE"):
        cache.raw("a")


def test_a_case_that_left_the_task_is_named(cache: Cache, task: Any) -> None:
    task.entries.pop()
    task.write()
    with pytest.raises(BadInput, match=r"case a: is no longer in .*E_CHANGED"):
        open_cache(cache.path, task_dir=task.folder)
