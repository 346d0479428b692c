"""The central directory of a zip file, with its 64-bit extension."""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ._archive_limits import ArchiveLimits, refused
from ._archive_stream import reading

STORED, DEFLATED = 0, 8
_END = struct.Struct("<4sHHHHIIH")
_END_64 = struct.Struct("<4sQHHIIQQQQ")
_LOCATOR_64 = struct.Struct("<4sIQI")
_ENTRY = struct.Struct("<4sHHHHHHIIIHHHHHII")
_MAX_COMMENT = 2**16 - 1
# deflate's level (1, 2), sizes after the data (3), names in UTF-8 (11); encryption is none of them
_KNOWN_FLAGS = 0b1000_0000_1110
_FULL_16, _FULL_32 = 2**16 - 1, 2**32 - 1  # "look into the 64-bit extension"


@dataclass(frozen=True)
class DirectoryEntry:
    """One member as the directory tells it; sizes in bytes."""

    name: bytes
    is_folder: bool
    flags: int
    method: int
    crc32: int
    packed_bytes: int
    size: int
    header_offset: int


def read_directory(
    file: BinaryIO, size: int, limits: ArchiveLimits, archive: Path
) -> tuple[list[DirectoryEntry], int]:
    """Return all entries and the place of the directory, which must fill the file's end exactly.

    Python's zipfile is not asked: it reads a directory of any size into memory, cuts names at a
    NUL, and takes archives with something before or after them.

    Raises:
        BadInput: E_ARCHIVE.
    """
    count, length, start = _find(file, size, archive)
    if count > limits.entries:
        raise refused(archive, f"lists {count} files and folders, at most {limits.entries}")
    # an entry has its header, a name and rarely more than 100 bytes of extra fields
    if length > limits.entries * (_ENTRY.size + limits.path_characters + 256):
        raise refused(archive, f"has a directory of {length} bytes")
    with reading(archive):
        file.seek(start)
        data = file.read(length)
    entries = list(_entries(data, archive))
    if len(entries) != count:
        raise refused(archive, f"lists {len(entries)} members and declares {count}")
    return entries, start


def _find(file: BinaryIO, size: int, archive: Path) -> tuple[int, int, int]:
    """Return count, length and start of the directory."""
    tail_start = max(0, size - _END.size - _MAX_COMMENT - _END_64.size - _LOCATOR_64.size)
    with reading(archive):
        file.seek(tail_start)
        tail = file.read(size - tail_start)
    at = tail.rfind(b"PK\5\6")
    if at < 0 or at + _END.size > len(tail):
        raise refused(archive, "has no directory: it is cut off or no zip file")
    _, disk, other_disk, here, count, length, start, comment = _END.unpack_from(tail, at)
    end = at
    if tail[max(0, at - _LOCATOR_64.size) :].startswith(b"PK\6\7"):
        end = at - _LOCATOR_64.size - _END_64.size
        if end < 0 or tail[end : end + 4] != b"PK\6\6":
            raise refused(archive, "has a damaged 64-bit directory")
        _, _, _, _, disk, other_disk, here, count, length, start = _END_64.unpack_from(tail, end)
    elif _FULL_16 in (here, count) or _FULL_32 in (length, start):
        raise refused(archive, "has a damaged 64-bit directory")
    if disk or other_disk or here != count:
        raise refused(archive, "is a part of several volumes")
    if start + length != tail_start + end or tail_start + at + _END.size + comment != size:
        raise refused(archive, "has something before, between or after its parts")
    return count, length, start


def _entries(data: bytes, archive: Path) -> Iterator[DirectoryEntry]:
    at = 0
    while at < len(data):
        if len(data) - at < _ENTRY.size or data[at : at + 4] != b"PK\1\2":
            raise refused(archive, "has a damaged directory")
        fields = _ENTRY.unpack_from(data, at)
        (_, _, _, flags, method, _, _, crc, packed, size, *lengths, disk, _, mode, offset) = fields
        name_end = at + _ENTRY.size + lengths[0]
        name, extra = data[at + _ENTRY.size : name_end], data[name_end : name_end + lengths[1]]
        at = name_end + lengths[1] + lengths[2]
        if at > len(data) or disk:
            raise refused(archive, "has a damaged directory")
        size, packed, offset = _widened(extra, (size, packed, offset), archive)
        is_folder = _is_folder(name, mode >> 16, archive)
        if flags & ~_KNOWN_FLAGS or method not in (STORED, DEFLATED):
            problem = f"holds {_shown(name)} encrypted or packed otherwise than by deflate"
            raise refused(archive, problem)
        if method == STORED and packed != size:
            raise refused(archive, f"declares two sizes for {_shown(name)}")
        yield DirectoryEntry(name, is_folder, flags, method, crc, packed, size, offset)


def _widened(extra: bytes, values: tuple[int, int, int], archive: Path) -> tuple[int, ...]:
    """Replace every value that is full by its 64 bits in the extra field."""
    wide = iter(_extension_64(extra, archive))
    try:
        return tuple(next(wide) if value == _FULL_32 else value for value in values)
    except (RuntimeError, StopIteration) as error:
        raise refused(archive, "has a damaged 64-bit directory") from error


def _extension_64(extra: bytes, archive: Path) -> tuple[int, ...]:
    at = 0
    while at + 4 <= len(extra):
        key, length = struct.unpack_from("<HH", extra, at)
        if key == 1:
            field = extra[at + 4 : at + 4 + length]
            return struct.unpack(f"<{len(field) // 8}Q", field[: len(field) // 8 * 8])
        at += 4 + length
    return ()


def _is_folder(name: bytes, mode: int, archive: Path) -> bool:
    """Return whether an entry is a folder by its name and, where it has a Unix mode, by that."""
    by_name = name.endswith(b"/")
    kind = stat.S_IFMT(mode)
    if kind not in (0, stat.S_IFDIR if by_name else stat.S_IFREG):
        problem = f"holds {_shown(name)} of mode {mode:#o}, expected files and folders only"
        raise refused(archive, problem)
    return by_name


def _shown(name: bytes) -> str:
    return repr(name[:80])[1:]
