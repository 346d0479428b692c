"""The bytes of a tar file, plain or gzipped, as one stream that is read forward and bounded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from gzip import BadGzipFile
from pathlib import Path
from typing import BinaryIO, cast

from isal import igzip, igzip_lib

from ._archive_limits import refused
from .errors import BadInput

CHUNK_BYTES = 2**20  # large enough that Python's part of a copy does not show
_IsalError = cast(type[Exception], igzip_lib.IsalError)


class ByteStream:
    """What a tar file holds, decompressed; at most ``limit`` bytes of it are ever looked at."""

    def __init__(self, file: BinaryIO, archive: Path, *, compressed: bool, limit: int) -> None:
        self._archive = archive
        self._file = igzip.GzipFile(fileobj=file, mode="rb") if compressed else file
        self._end = limit if compressed else os.fstat(file.fileno()).st_size
        self._compressed = compressed
        self.position = 0

    def read(self, count: int) -> bytes:
        """Return the next ``count`` bytes.

        Raises:
            BadInput: E_ARCHIVE: there are fewer, or the gzip stream is damaged.
        """
        with reading(self._archive):
            data = bytearray()
            while len(data) < count:
                got = self._file.read(count - len(data))
                if not got:
                    raise refused(self._archive, f"is cut off after {self.position} bytes")
                data += got
        self.position += count
        return bytes(data)

    def go_to(self, position: int) -> None:
        """Jump; backwards is slow in a gzip stream, and forwards reads all that is in between.

        Raises:
            BadInput: E_ARCHIVE: the stream ends, or would be over its limit, before ``position``.
        """
        if position > self._end:
            raise refused(self._archive, f"declares more bytes than the {self._end} it may have")
        with reading(self._archive):
            if self._file.seek(position) != position:
                raise refused(self._archive, "is cut off within a file")
        self.position = position

    def drain(self) -> None:
        """Read a gzip stream to its end, where its checksum stands; a plain one needs none.

        Raises:
            BadInput: E_ARCHIVE.
        """
        while self._compressed:
            with reading(self._archive):
                got = len(self._file.read(CHUNK_BYTES))
            self.position += got
            if self.position > self._end:
                raise refused(self._archive, f"unpacks to more than {self._end} bytes")
            if not got:
                return


@contextmanager
def reading(archive: Path) -> Iterator[None]:
    """Turn the exceptions of reading and decompressing an archive into BadInput."""
    try:
        yield
    except (EOFError, BadGzipFile, _IsalError) as error:
        raise refused(archive, f"is damaged ({error})") from error
    except OSError as error:
        problem = f"cannot be read to its end ({error.strerror or error})"
        cure = "look at the disk or network that holds it and try again"
        raise BadInput("E_IO", archive, problem, cure) from error
