"""Plant code and read it, in this process: python -m faulting.planting COUNT FOLDER."""

from __future__ import annotations

import codecs
import contextlib
import io
import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from faulting.planted_code import MARK, every_payload, with_code_for_texts
from faulting.small_task import DEPTH, write_task

from tomolift.data import (
    BadInput,
    build_cache,
    check_cache,
    open_cache,
    read_volume,
    verify_task,
)
from tomolift.data._cli import main as command_line

FORBIDDEN = (
    MARK, "exec", "compile", "import", "marshal.loads", "pickle.find_class", "code.__new__",
    "function.__new__", "object.__getattr__", "os.system", "os.exec", "os.posix_spawn", "os.fork",
    "subprocess.Popen", "ctypes.dlopen", "socket.connect",
)  # fmt: skip


class Watch:
    """Counts forbidden events while it is on; an audit hook can never be taken away again."""

    def __init__(self) -> None:
        self.on = False
        self.seen: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.on and event in FORBIDDEN:
            self.seen.append(f"{event} {str(arguments[:1])[:80]}")

    def during(self, act: Callable[[], object]) -> list[str]:
        """Return what was forbidden and happened."""
        self.seen = []
        self.on = True
        try:
            act()
        finally:
            self.on = False
        return self.seen


def main(count: str, folder: str) -> None:
    scratch = Path(folder)
    task, cache = scratch / "task", scratch / "cache"
    write_task(task, cases=2)
    build_cache(task, cache, depth=DEPTH, workers=1)
    for name in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
        codecs.lookup(name)  # json takes some binary for these and imports them, which is harmless
    watch = Watch()
    for _ in range(2):  # the second time nothing is imported any more
        read_everything(task, cache)
    if events := watch.during(lambda: read_everything(task, cache)):
        raise RuntimeError(f"reading sound files already does {events[0]}")
    told: dict[str, Any] = {"attempts": 0, "failures": [], "slots": 0}
    for path in sorted(each for each in scratch.rglob("*") if each.is_file()):
        if path.is_relative_to(task) or path.is_relative_to(cache):
            plant(path, int(count), watch, lambda: read_everything(task, cache), told)
    print(json.dumps({**told, **control(watch, scratch)}))


def plant(
    path: Path, count: int, watch: Watch, read: Callable[[], None], told: dict[str, Any]
) -> None:
    """Put every payload into one file in turn, as it is and as long as the file was."""
    sound = path.read_bytes()
    payloads = dict(list(every_payload().items())[:count])
    payloads |= {
        f"{name}, padded": data.ljust(len(sound), b"\0")
        for name, data in payloads.items()
        if len(data) < len(sound)
    }
    for number, data in enumerate(with_code_for_texts(sound)):
        payloads[f"code for text {number}"] = data
    for name, payload in payloads.items():
        path.write_bytes(payload)
        events = watch.during(read)
        told["failures"] += [f"{name} in {path.name}: {event}" for event in events[:1]]
    path.write_bytes(sound)
    told["slots"] += 1
    told["attempts"] += len(payloads)


def read_everything(task: Path, cache: Path) -> None:
    """Let everything read that reads a task or a cache; what it refuses is refused."""
    image = task / "imagesTr" / "case_000.nii.gz"
    reads: list[Callable[[], object]] = [
        lambda: verify_task(task),
        lambda: read_volume(image),
        lambda: build_cache(task, task.parent / "another", depth=DEPTH, workers=1),
        lambda: check_cache(cache),
        lambda: command_line(["info", str(cache)]),
        lambda: read_all(cache, task),
    ]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        for read in reads:
            with contextlib.suppress(BadInput):
                read()


def read_all(cache_dir: Path, task: Path) -> None:
    """Read every voxel and record of a cache, once against its sources."""
    cache = open_cache(cache_dir)
    for case in cache.cases:
        cache.volume(case)
        cache.labels(case).max()
    open_cache(cache_dir, task_dir=task)


def control(watch: Watch, scratch: Path) -> dict[str, int]:
    """Return how many payloads there are for careless readers, and how many the hook saw run."""
    ran = 0
    payloads = {name: data for name, data in every_payload().items() if ", protocol" in name}
    for name, payload in payloads.items():
        path = scratch / "control.npy"
        path.write_bytes(payload)

        def careless(path: Path = path, name: str = name) -> None:
            if name.startswith("npy"):
                np.load(path, allow_pickle=True)
            else:
                pickle.loads(path.read_bytes())

        ran += any(MARK in event for event in watch.during(careless))
    return {"payloads of the control": len(payloads), "executions of the control": ran}


if __name__ == "__main__":
    main(*sys.argv[1:])
