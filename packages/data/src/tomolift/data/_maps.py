"""Read-only files as private memory maps, a bounded number of them open at a time."""

from __future__ import annotations

import mmap
import os
import resource
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar
from weakref import WeakSet

import numpy as np
import numpy.typing as npt

from ._format import NPY_HEADER_BYTES, npy_bytes, npy_header
from ._manifest import REBUILD
from ._stamps import Stamp, check_stamp, was_rebuilt
from .errors import BadInput

MOST_MAPS = 2**15  # half of the maps that Linux lets a process have by default
_LOCK = Lock()  # the feeder's thread reads too
os.register_at_fork(
    before=_LOCK.acquire, after_in_parent=_LOCK.release, after_in_child=_LOCK.release
)


class VolumeMaps:
    """Maps of the ``.npy`` volumes of one cache, opened when first asked for.

    Maps are private (copy on write): writing to a view changes this process only, never the
    file. Python's mmap keeps a file descriptor, so the least recently used maps are let go when
    those of all caches take half of the process's limit; views handed out stay valid.

    Args:
        stamps: the files as they were when the cache was opened.
    """

    _all: ClassVar[WeakSet[VolumeMaps]] = WeakSet()

    def __init__(self, stamps: Mapping[Path, Stamp]) -> None:
        self._stamps = stamps
        self._open: OrderedDict[Path, npt.NDArray[Any]] = OrderedDict()
        with _LOCK:
            self._all.add(self)

    def view(self, path: Path, shape: tuple[int, int, int], dtype: str) -> npt.NDArray[Any]:
        """Return the voxels (D, H, W) of a file of this shape and type, without reading them.

        Raises:
            BadInput: E_CACHE where the file's size or header is another, or it was rebuilt.
        """
        with _LOCK:
            voxels = self._open.get(path)
            if voxels is None:
                voxels = _map(path, shape, dtype, self._stamps[path])
                self._open[path] = voxels
                self._keep_within_limit()
            else:
                self._open.move_to_end(path)
        return voxels.view()

    def _keep_within_limit(self) -> None:
        """Let maps of the cache that has most of them go."""
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        most = MOST_MAPS if limit == resource.RLIM_INFINITY else min(limit // 2, MOST_MAPS)
        while sum(len(maps._open) for maps in self._all) > most:
            max(self._all, key=lambda maps: len(maps._open))._open.popitem(last=False)


def _map(path: Path, shape: tuple[int, int, int], dtype: str, stamp: Stamp) -> npt.NDArray[Any]:
    expected = npy_bytes(shape, dtype)
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            check_stamp(path, status, stamp)
            size = status.st_size
            if size != expected:  # a map beyond the end of a file is a SIGBUS when touched
                raise BadInput("E_CACHE", path, f"has {size} bytes, expected {expected}", REBUILD)
            mapped = mmap.mmap(file.fileno(), expected, access=mmap.ACCESS_COPY)
    except FileNotFoundError as error:
        raise was_rebuilt(path) from error
    except OSError as error:
        problem = f"cannot be mapped ({error.strerror})"
        raise BadInput("E_CACHE", path, problem, REBUILD) from error
    if mapped[:NPY_HEADER_BYTES] != npy_header(shape, dtype):
        raise BadInput("E_CACHE", path, "has a damaged .npy header", REBUILD)
    return np.frombuffer(mapped, dtype, offset=NPY_HEADER_BYTES).reshape(shape)
