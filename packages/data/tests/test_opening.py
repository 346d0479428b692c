"""What opening a cache says of changed sources, another configuration, and folders of no cache."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tomolift.data import BadInput, Cache, build_cache, open_cache

Change = Callable[[Any], object]


@pytest.fixture
def cache_dir(task: Any, tmp_path: Path) -> Path:
    task.add("a", seed=0)
    task.add("b", seed=1)
    build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    return tmp_path / "cache"


def keeping_time(path: Path, data: bytes) -> None:
    stamp = path.stat().st_mtime_ns
    path.write_bytes(data)
    os.utime(path, ns=(stamp, stamp))


def other_trailer(task: Any) -> None:
    data = task.image("b").read_bytes()
    keeping_time(task.image("b"), data[:-5] + bytes([data[-5] ^ 1]) + data[-4:])


def other_size(task: Any) -> None:
    data = gzip.decompress(task.image("b").read_bytes())
    keeping_time(task.image("b"), gzip.compress(data, compresslevel=0, mtime=0))


def other_classes(task: Any) -> None:
    task.labels = {**task.labels, "3": "vessel"}
    task.write()


def swapped_classes(task: Any) -> None:
    task.labels = {"0": "background", "1": "tumour", "2": "organ"}
    task.write()


def other_path(task: Any) -> None:
    task.image("b").rename(task.folder / "b.nii.gz")
    task.entries[1]["image"] = "b.nii.gz"
    task.write()


def one_less(task: Any) -> None:
    task.entries.pop()
    task.write()


CHANGES: dict[str, tuple[Change, str]] = {
    "mtime only": (
        lambda task: os.utime(task.image("b"), ns=(1, 1)),
        r"case b: image file changed \(mtime_ns\); build again",
    ),
    "trailer only": (other_trailer, r"case b: image file changed \(trailer\); build again"),
    "size only": (other_size, r"case b: image file changed \(size [0-9]+ -> [0-9]+\); build again"),
    "path": (
        other_path,
        r"case b: image file changed \(path \./imagesTr/b\.nii\.gz -> b\.nii\.gz\); build again",
    ),
    "a file gone": (lambda task: task.label("b").unlink(), r"case b: label file is gone; build"),
    "a class more": (
        other_classes, r"classes are \['background', .* 'vessel'\] now, were .*; build again",
    ),
    "classes renamed": (
        swapped_classes, r"classes are .* 'tumour', 'organ'\] now, were .*; build again",
    ),
    "a case gone": (one_less, r"case b: is no longer in .*dataset\.json; build again"),
    "a case added": (
        lambda task: task.add("c", seed=2), r"case c: is not in the cache; build again",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_opening_beside_changed_sources_says_what_changed_and_a_build_mends_it(
    task: Any, cache_dir: Path, what: str
) -> None:
    change, message = CHANGES[what]
    open_cache(cache_dir, task_dir=task.folder)
    change(task)
    with pytest.raises(BadInput, match=message) as caught:
        open_cache(cache_dir, task_dir=task.folder)
    assert caught.value.code == "E_CHANGED"
    assert open_cache(cache_dir).cases == ("a", "b")  # without its sources it is as it was
    build_cache(task.folder, cache_dir, depth=5, workers=1)
    open_cache(cache_dir, task_dir=task.folder)


def test_a_cache_of_chosen_cases_opens_beside_a_task_with_more(task: Any, tmp_path: Path) -> None:
    for index, name in enumerate("abc"):
        task.add(name, seed=index)
    build_cache(task.folder, tmp_path / "cache", depth=5, workers=1, cases=["a", "c"])
    assert open_cache(tmp_path / "cache", task_dir=task.folder).cases == ("a", "c")


def test_changes_of_cached_cases_are_told_before_new_cases(task: Any, cache_dir: Path) -> None:
    task.add("c", seed=2)
    os.utime(task.image("b"), ns=(1, 1))
    with pytest.raises(BadInput, match=r"case b: .* \(and 1 more changed\); build again"):
        open_cache(cache_dir, task_dir=task.folder)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 70}, r"depth 5 -> 70;"),
        ({"short": "pad"}, r"short drop -> pad;"),
        ({"axes": "stored"}, r"axes canonical -> stored;"),
        ({"depth": 6, "short": "pad", "axes": "canonical"}, r"depth 5 -> 6, short drop -> pad;"),
    ],
    ids=str,
)
def test_opening_with_another_configuration_says_which_option_differs(
    cache_dir: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        open_cache(cache_dir, **options)
    assert caught.value.code == "E_CHANGED"


def test_opening_with_the_configuration_it_was_built_with_is_as_without(cache_dir: Path) -> None:
    cache: Cache = open_cache(cache_dir, depth=5, short="drop", axes="canonical")
    assert cache.fingerprint == open_cache(cache_dir).fingerprint


def test_folders_of_no_cache_are_told_apart(task: Any, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nowhere: is no folder; name a folder that `build` made"):
        open_cache(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match=r"file: is no folder"):
        open_cache(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match=r"empty: has no CACHE\.json, so it is no finished cache"):
        open_cache(tmp_path / "empty")
    task.add("a")
    build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    (tmp_path / "cache/CACHE.json").unlink()
    with pytest.raises(BadInput, match=r"cache: is unfinished \(volumes so far: 1\): CACHE"):
        open_cache(tmp_path / "cache")


def test_a_reader_imports_nothing_that_only_builders_need(task: Any, cache_dir: Path) -> None:
    """Every reader process pays for it in memory: nibabel 6 MB, multiprocessing 1.3 MB."""
    program = (
        "import sys; from tomolift.data import open_cache; cache = open_cache(sys.argv[1]);"
        "cache.raw('a'), cache.labels('a'), cache['a'], cache.volume('a');"
        "print(sorted({'nibabel', 'multiprocessing', 'torch'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", program, str(cache_dir)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_manifest_that_may_not_be_read_is_told_with_its_cure(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a stand-in for the system's refusal: root, as whom tests may run, is never refused."""
    opened = Path.open

    def refused(self: Path, *arguments: Any, **options: Any) -> Any:
        if self.name == "CACHE.json":
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(BadInput, match=r"CACHE\.json: cannot be read \(Permission denied\); get"):
        open_cache(cache_dir)
