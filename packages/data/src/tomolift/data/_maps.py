"""Read-only files as private memory maps, a bounded number of them open at a time."""

from __future__ import annotations

import mmap
import resource
from collections import OrderedDict
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from ._format import NPY_HEADER_BYTES, npy_bytes, npy_header
from ._manifest import REBUILD
from .errors import BadInput


class VolumeMaps:
    """Maps of ``.npy`` volumes, opened when first asked for.

    Maps are private (copy on write): writing to a view changes this process only, never the
    file. Python's mmap keeps a file descriptor, so the least recently used maps are let go when
    half of the process's limit is in use; views handed out stay valid.
    """

    def __init__(self) -> None:
        self._open: OrderedDict[Path, npt.NDArray[Any]] = OrderedDict()
        self._most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2
        self._lock = Lock()  # the feeder's thread reads too

    def view(self, path: Path, shape: tuple[int, int, int], dtype: str) -> npt.NDArray[Any]:
        """Return the voxels (D, H, W) of a file of this shape and type, without reading them.

        Raises:
            BadInput: E_CACHE where the file's size or header is another.
        """
        with self._lock:
            voxels = self._open.get(path)
            if voxels is None:
                voxels = _map(path, shape, dtype)
                self._open[path] = voxels
                if len(self._open) > self._most:
                    self._open.popitem(last=False)
            else:
                self._open.move_to_end(path)
        return voxels.view()


def _map(path: Path, shape: tuple[int, int, int], dtype: str) -> npt.NDArray[Any]:
    expected = npy_bytes(shape, dtype)
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            if size != expected:  # a map beyond the end of a file is a SIGBUS when touched
                raise BadInput("E_CACHE", path, f"has {size} bytes, expected {expected}", REBUILD)
            mapped = mmap.mmap(file.fileno(), expected, access=mmap.ACCESS_COPY)
    except OSError as error:
        problem = f"cannot be mapped ({error.strerror})"
        raise BadInput("E_CACHE", path, problem, REBUILD) from error
    if mapped[:NPY_HEADER_BYTES] != npy_header(shape, dtype):
        raise BadInput("E_CACHE", path, "has a damaged .npy header", REBUILD)
    return np.frombuffer(mapped, dtype, offset=NPY_HEADER_BYTES).reshape(shape)
