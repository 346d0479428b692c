"""A checked, bounded, streaming reader of NIfTI-1 files (``.nii`` and ``.nii.gz``)."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from gzip import BadGzipFile
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt
from isal import igzip, igzip_lib

from ._headers import HEADER_BYTES, RE_EXPORT, NiftiHeader, byte_order, parse_header
from .errors import BadInput

MAX_DEFLATE_RATIO = 1032  # RFC 1951: the most bytes that one compressed byte can stand for
# isal's stub declares the class as an instance
_IsalError = cast(type[Exception], igzip_lib.IsalError)
_COPY_AGAIN = "copy or download the file again"


@dataclass(frozen=True, eq=False)
class NiftiStream:
    """An open NIfTI file whose header is checked and whose voxels are still unread."""

    path: Path
    header: NiftiHeader
    file: BinaryIO

    def planes(self) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        """Yield (z, plane) for each stored plane (Y, X), in native byte order and stored dtype.

        The plane lives in one reused buffer: copy what must outlast the next step. After the
        last one the end of the file, its length and its checksum are verified.
        """
        x, y, z = self.header.shape
        with _translated(self.path):
            buffer = np.empty((y, x), self.header.dtype)
            native = self.header.dtype.newbyteorder("=")
            for index in range(z):
                _fill(self.file, buffer.view(np.uint8).reshape(-1).data, self.path)
                yield index, buffer.astype(native, copy=False)
            if self.file.read(1):
                raise BadInput(
                    "E_SIZE", self.path, "has bytes after its last voxel", "re-export the file"
                )

    def values(self) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        """Yield like :meth:`planes`, with slope and intercept applied (float64 where scaled)."""
        for index, plane in self.planes():
            if self.header.scaled:
                with np.errstate(over="ignore"):  # infinity is for the caller to refuse
                    plane = plane * np.float64(self.header.slope) + self.header.intercept
            yield index, plane


@contextmanager
def open_nifti(path: Path) -> Iterator[NiftiStream]:
    """Open a NIfTI-1 file, check its header, and yield it for streaming.

    Nothing is allocated that the header declares but the file cannot hold.

    Raises:
        BadInput: E_MISSING, E_PATH, E_IO, E_GZIP, E_GZIP_TRUNCATED, E_GZIP_CRC, E_SIZE, E_HEADER
            or E_4D.
    """
    with _opened(path) as raw:
        with _translated(path):
            size = os.fstat(raw.fileno()).st_size
            compressed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
        if path.name.endswith(".gz") and not compressed:
            raise BadInput("E_GZIP", path, "is named .gz but is no gzip file", _COPY_AGAIN)
        with _translated(path):
            file = cast(BinaryIO, igzip.GzipFile(fileobj=raw, mode="rb")) if compressed else raw
            head = bytearray(HEADER_BYTES)
            _fill(file, memoryview(head), path)
        header = parse_header(bytes(head), path)
        _check_room(header, size, compressed=compressed, path=path)
        with _translated(path):
            _skip_extensions(file, bytes(head), header.data_offset - HEADER_BYTES, path)
        yield NiftiStream(path=path, header=header, file=file)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        # O_NONBLOCK: opening a fifo must not wait for its writer
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        cure = "put the file there or take its entry out of dataset.json"
        raise BadInput("E_MISSING", path, f"cannot be opened ({error.strerror})", cure) from error
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BadInput("E_PATH", path, "is no regular file", "put a NIfTI file there")
        yield file


def _check_room(header: NiftiHeader, size: int, *, compressed: bool, path: Path) -> None:
    declared = header.data_offset + header.data_bytes
    if compressed and declared > size * MAX_DEFLATE_RATIO:
        problem = f"declares {declared} bytes, more than its {size} compressed bytes can hold"
        raise BadInput("E_SIZE", path, problem, _COPY_AGAIN)
    if not compressed and declared != size:
        raise BadInput("E_SIZE", path, f"declares {declared} bytes and has {size}", _COPY_AGAIN)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn the exceptions of reading and decompressing a source into BadInput.

    Nothing but reading may stand inside: an I/O error of the cache's disk is no fault of the case.
    """
    try:
        yield
    except EOFError as error:
        problem = "the gzip stream is cut off"
        raise BadInput("E_GZIP_TRUNCATED", path, problem, _COPY_AGAIN) from error
    except BadGzipFile as error:
        damaged = "CRC" in str(error) or "length" in str(error)
        code = "E_GZIP_CRC" if damaged else "E_GZIP"
        problem = f"the gzip stream is damaged ({error})"
        raise BadInput(code, path, problem, _COPY_AGAIN) from error
    except _IsalError as error:
        problem = f"the gzip stream is damaged ({error})"
        raise BadInput("E_GZIP", path, problem, _COPY_AGAIN) from error
    except OSError as error:  # after BadGzipFile, which is one
        problem = f"cannot be read to its end ({error.strerror or error})"
        cure = "look at the disk or network that holds it and try again"
        raise BadInput("E_IO", path, problem, cure) from error


def _fill(file: BinaryIO, view: memoryview, path: Path) -> None:
    done = 0
    while done < len(view):
        got = file.readinto(view[done:])  # type: ignore[attr-defined]
        if not got:
            raise BadInput("E_SIZE", path, "ends before its last voxel", _COPY_AGAIN)
        done += got


def _skip_extensions(file: BinaryIO, head: bytes, room: int, path: Path) -> None:
    """Read past the ``room`` bytes before the voxels without keeping them (names may be there).

    Sizes are checked although nothing needs them here: one that is wrong makes nibabel read
    voxels, or gigabytes, as an extension.
    """
    order = byte_order(head, path)
    entry = bytearray(8)  # size of the extension, these bytes included, and its code
    while head[348] and room >= 16:
        _fill(file, memoryview(entry), path)
        (size,) = struct.unpack_from(order + "i", entry)
        if not len(entry) <= size <= room:
            problem = f"has a header extension of {size} bytes, expected 8..{room}"
            raise BadInput("E_HEADER", path, problem, RE_EXPORT)
        _skip(file, size - len(entry), path)
        room -= size
    _skip(file, room, path)


def _skip(file: BinaryIO, count: int, path: Path) -> None:
    scratch = memoryview(bytearray(min(count, 65536)))
    while count:
        step = min(count, len(scratch))
        _fill(file, scratch[:step], path)
        count -= step
