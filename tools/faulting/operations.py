"""Every change that this process makes to files below a folder, seen before it happens.

The functions of `os` are replaced, and files opened for writing get a raw layer of ours: what
the package writes through memory maps is not seen. Meant for a forked child, or for a test.
"""

from __future__ import annotations

import builtins
import fcntl
import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

CHANGING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


@dataclass(frozen=True)
class Operation:
    """One call that is about to happen.

    Attributes:
        number: from 1, in the order of this process.
        kind: open, write, fallocate, truncate, fsync, rename, unlink, mkdir or rmdir.
        path: what it is done to; of a rename the old name.
        target: of a rename the new name.
        data: of a write the bytes.
        offset: of a write its place, None: the file's end; of
            a fallocate or truncate the size afterwards.
        flags: of an open.
        call: does it and returns what the caller waits for; a write takes the bytes to write.
    """

    number: int
    kind: str
    path: Path
    call: Callable[..., Any]
    target: Path | None = None
    data: bytes = b""
    offset: int | None = None
    flags: int = 0

    def perform(self, data: bytes | None = None) -> Any:
        """Let it happen; of a write perhaps with other bytes than the caller's."""
        if self.kind == "write":
            return self.call(self.data if data is None else data)
        return self.call()


React = Callable[[Operation], Any]


@contextmanager
def observed(root: Path, react: React) -> Iterator[None]:
    """Hand every operation below `root` to `react`, whose result or exception the caller gets."""
    observer = _Observer(root.resolve(), react)
    with ExitStack() as stack:
        for name in (
            "open", "write", "pwrite", "posix_fallocate", "ftruncate", "fsync", "mkdir",
        ):  # fmt: skip
            stack.enter_context(patch.object(os, name, getattr(observer, name)))
        for name in ("rename", "replace"):
            stack.enter_context(patch.object(os, name, observer.renaming(getattr(os, name))))
        for name, kind in (("unlink", "unlink"), ("remove", "unlink"), ("rmdir", "rmdir")):
            removing = observer.removing(getattr(os, name), kind)
            stack.enter_context(patch.object(os, name, removing))
        for module in (io, builtins):
            stack.enter_context(patch.object(module, "open", observer.open_file))
        yield


class _Observer:
    def __init__(self, root: Path, react: React) -> None:
        self.root = root
        self.react = react
        self.count = 0
        self.os = {name: getattr(os, name) for name in dir(os)}
        self.io_open = io.open

    def see(self, kind: str, path: Path, call: Callable[..., Any], **more: Any) -> Any:
        if not path.is_relative_to(self.root):
            return call() if kind != "write" else call(more["data"])
        self.count += 1
        return self.react(Operation(self.count, kind, path, call, **more))

    def named(self, path: Any, dir_fd: int | None = None) -> Path:
        name = Path(os.fsdecode(path))
        folder = Path.cwd() if dir_fd is None else self.behind(dir_fd)
        return folder / name

    def behind(self, descriptor: int) -> Path:
        return Path(self.os["readlink"](f"/proc/self/fd/{descriptor}"))

    def open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        def call() -> int:
            return self.os["open"](path, flags, mode, dir_fd=dir_fd)

        if not flags & (CHANGING | os.O_DIRECTORY):
            return call()
        return self.see("open", self.named(path, dir_fd), call, flags=flags)

    def write(self, descriptor: int, data: Any) -> int:
        return self.see(
            "write",
            self.behind(descriptor),
            lambda given: self.os["write"](descriptor, given),
            data=bytes(data),
            offset=position(descriptor),
        )

    def pwrite(self, descriptor: int, data: Any, offset: int) -> int:
        return self.see(
            "write",
            self.behind(descriptor),
            lambda given: self.os["pwrite"](descriptor, given, offset),
            data=bytes(data),
            offset=offset,
        )

    def posix_fallocate(self, descriptor: int, offset: int, length: int) -> None:
        def call() -> None:
            self.os["posix_fallocate"](descriptor, offset, length)

        return self.see("fallocate", self.behind(descriptor), call, offset=offset + length)

    def ftruncate(self, descriptor: int, length: int) -> None:
        def call() -> None:
            self.os["ftruncate"](descriptor, length)

        return self.see("truncate", self.behind(descriptor), call, offset=length)

    def fsync(self, descriptor: int) -> None:
        return self.see("fsync", self.behind(descriptor), lambda: self.os["fsync"](descriptor))

    def mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        def call() -> None:
            self.os["mkdir"](path, mode, dir_fd=dir_fd)

        return self.see("mkdir", self.named(path, dir_fd), call)

    def renaming(self, rename: Callable[..., None]) -> Callable[..., None]:
        def renamed(
            old: Any, new: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None
        ) -> None:
            def call() -> None:
                rename(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

            target = self.named(new, dst_dir_fd)
            self.see("rename", self.named(old, src_dir_fd), call, target=target)

        return renamed

    def removing(self, remove: Callable[..., None], kind: str) -> Callable[..., None]:
        def removed(path: Any, *, dir_fd: int | None = None) -> None:
            self.see(kind, self.named(path, dir_fd), lambda: remove(path, dir_fd=dir_fd))

        return removed

    def open_file(
        self, file: Any, mode: str = "r", buffering: int = -1, *arguments: Any, **options: Any
    ) -> Any:
        """Stand in for `open`: what writes below the root gets our raw layer."""
        path = self.behind(file) if isinstance(file, int) else self.named(file)
        if not set(mode) & set("wax+") or not path.is_relative_to(self.root):
            return self.io_open(file, mode, buffering, *arguments, **options)
        if "b" not in mode:
            raise NotImplementedError(f"{path} is opened for writing text, which nobody did so far")
        raw = _Raw(self, file, mode.replace("b", ""))
        if buffering == 0:
            return raw
        return io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)


class _Raw(io.FileIO):
    """An unbuffered file whose writes, and whose opening by name, are seen."""

    def __init__(self, observer: _Observer, file: Any, mode: str) -> None:
        super().__init__(file, mode, opener=lambda path, flags: os.open(path, flags, 0o666))
        self.observer = observer

    def write(self, data: Any) -> int:
        path, offset = self.observer.behind(self.fileno()), position(self.fileno())
        return self.observer.see("write", path, super().write, data=bytes(data), offset=offset)


def position(descriptor: int) -> int | None:
    """Return where the next write goes; None: to the end, whatever that is then (or a pipe)."""
    is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
    if not is_file or fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND:
        return None
    return os.lseek(descriptor, 0, os.SEEK_CUR)


def area_of(path: Path) -> str:
    """Return which part of a cache a path belongs to, temporary name or not, in a word."""
    name = path.name
    for part, area in ((".image.", "image"), (".label.", "label"), ("CACHE.json", "manifest")):
        if part in name:
            return area
    if name.startswith("journal"):
        return "journal"
    if ".json" in name:
        return "record"
    return "lock" if name.startswith("lock") else "folder"
