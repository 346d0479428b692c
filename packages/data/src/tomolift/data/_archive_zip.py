"""The members of a zip file: their local headers and contents, held against the directory."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from ._archive_limits import ArchiveLimits, refused
from ._archive_members import Member
from ._archive_stream import CHUNK_BYTES, reading
from ._archive_zip_directory import STORED, DirectoryEntry, read_directory

_LOCAL = struct.Struct("<4sHHHHHIIIHH")


def zip_members(
    file: BinaryIO, size: int, limits: ArchiveLimits, archive: Path
) -> Iterator[Member]:
    """Yield the files and folders of a zip, stored or deflated.

    Every local header must agree with the directory, and no two members may share bytes (the way
    to make a bomb without nesting).

    Raises:
        BadInput: E_ARCHIVE.
    """
    entries, directory_start = read_directory(file, size, limits, archive)
    free = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if entry.header_offset >= directory_start:  # or beyond what a file's offset can be
            raise refused(archive, f"has no member where it places {_shown(entry)}")
        start = _data_start(file, entry, archive)
        if entry.header_offset < free or start + entry.packed_bytes > directory_start:
            raise refused(archive, f"has members that overlap, {_shown(entry)} among them")
        free = start + entry.packed_bytes
        chunks = _reader(file, start, entry, archive)
        yield Member(entry.name, entry.is_folder, entry.size, chunks)


def _data_start(file: BinaryIO, entry: DirectoryEntry, archive: Path) -> int:
    head = _read(file, entry.header_offset, _LOCAL.size, archive)
    magic, _, flags, method, _, _, _, _, _, name_bytes, extra_bytes = _LOCAL.unpack(head)
    name = _read(file, entry.header_offset + _LOCAL.size, name_bytes, archive)
    if (magic, flags, method, name) != (b"PK\3\4", entry.flags, entry.method, entry.name):
        raise refused(archive, f"tells two stories about {_shown(entry)}")
    return entry.header_offset + _LOCAL.size + name_bytes + extra_bytes


def _reader(
    file: BinaryIO, start: int, entry: DirectoryEntry, archive: Path
) -> Callable[[], Iterator[bytes]]:
    def chunks() -> Iterator[bytes]:
        packed = _packed(file, start, entry.packed_bytes, archive)
        crc = done = 0
        for data in packed if entry.method == STORED else _inflated(packed, entry, archive):
            crc, done = zlib.crc32(data, crc), done + len(data)
            if done > entry.size:
                break
            yield data
        if (done, crc) != (entry.size, entry.crc32):
            raise refused(archive, f"has other contents than declared for {_shown(entry)}")

    return chunks


def _packed(file: BinaryIO, start: int, count: int, archive: Path) -> Iterator[bytes]:
    while count:
        data = _read(file, start, min(count, CHUNK_BYTES), archive)
        start, count = start + len(data), count - len(data)
        yield data


def _inflated(packed: Iterator[bytes], entry: DirectoryEntry, archive: Path) -> Iterator[bytes]:
    """Yield pieces of at most ``CHUNK_BYTES``, however little they are packed into."""
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for data in packed:
            while data and not inflate.eof:
                yield inflate.decompress(data, CHUNK_BYTES)
                data = inflate.unconsumed_tail
    except zlib.error as error:
        raise refused(archive, f"has damaged contents at {_shown(entry)} ({error})") from error
    if not inflate.eof or inflate.unused_data:
        raise refused(archive, f"has damaged contents at {_shown(entry)}")


def _read(file: BinaryIO, start: int, count: int, archive: Path) -> bytes:
    with reading(archive):
        file.seek(start)
        data = file.read(count)
    if len(data) != count:
        raise refused(archive, f"is cut off after {start + len(data)} bytes")
    return data


def _shown(entry: DirectoryEntry) -> str:
    return repr(entry.name[:80])[1:]
