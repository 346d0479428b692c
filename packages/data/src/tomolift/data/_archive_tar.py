"""The members of a tar file, read from its headers alone: ustar and GNU, with pax extensions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ._archive_limits import ArchiveLimits, refused
from ._archive_members import Member
from ._archive_stream import CHUNK_BYTES, ByteStream

BLOCK_BYTES = 512
_MAX_EXTENSION_BYTES = 2**20  # what macOS keeps of a file's attributes fits; the rest is no header
_ZEROS = bytes(BLOCK_BYTES)
_REGULAR, _FOLDER, _EXTENDED, _GLOBAL = b"0", b"5", b"x", b"g"
_KINDS = {
    b"1": "a hard link", b"2": "a symbolic link", b"3": "a character device",
    b"4": "a block device", b"6": "a fifo", b"K": "a GNU long link", b"L": "a GNU long name",
    b"S": "a sparse file", b"M": "a part of another volume",
}  # fmt: skip


@dataclass(frozen=True)
class _Header:
    name: bytes
    kind: bytes
    size: int


def tar_members(stream: ByteStream, limits: ArchiveLimits, archive: Path) -> Iterator[Member]:
    """Yield regular files and folders; everything else that a tar file can hold is refused.

    Python's tarfile is not asked: it reads extended headers of any size into memory, merges
    overrides silently and takes a file that ends between two members for a whole one.

    Raises:
        BadInput: E_ARCHIVE: damaged, cut off, or with links, devices, sparse files, GNU long names
            or an extended header that overrides more than a name.
    """
    extension: dict[str, bytes] = {}
    for _ in range(3 * limits.entries):  # a file, its extended header, and some global ones
        block = stream.read(BLOCK_BYTES)
        if block == _ZEROS:
            _finish(stream, extension, archive)
            return
        header = _parse(block, archive)
        start = stream.position
        if header.kind in (_EXTENDED, _GLOBAL):
            if extension:
                raise refused(archive, "has an extended header that belongs to no file")
            extension = _read_extension(stream, header, archive)
        else:
            name = extension.get("path", header.name)
            _check_kind(header, name, extension, archive)
            yield Member(name, header.kind == _FOLDER, header.size, _reader(stream, start, header))
            extension = {}
        stream.go_to(start + -(-header.size // BLOCK_BYTES) * BLOCK_BYTES)
    raise refused(archive, f"has more than {3 * limits.entries} headers")


def _finish(stream: ByteStream, extension: dict[str, bytes], archive: Path) -> None:
    if extension or stream.read(BLOCK_BYTES) != _ZEROS:
        raise refused(archive, "has no proper end")
    stream.drain()


def _reader(stream: ByteStream, start: int, header: _Header) -> Callable[[], Iterator[bytes]]:
    def chunks() -> Iterator[bytes]:
        stream.go_to(start)
        left = header.size
        while left:
            data = stream.read(min(left, CHUNK_BYTES))
            left -= len(data)
            yield data

    return chunks


def _parse(block: bytes, archive: Path) -> _Header:
    magic = block[257:265]
    if magic not in (b"ustar\x0000", b"ustar  \x00"):
        raise refused(archive, "has a damaged header, or is no ustar, pax or GNU tar file")
    total = sum(block) - sum(block[148:156]) + 8 * ord(" ")
    if total != _octal(block[148:156], "checksum", archive):
        raise refused(archive, "has a header with a wrong checksum")
    name = _text(block[:100], archive)
    prefix = _text(block[345:500], archive) if magic == b"ustar\x0000" else b""
    kind = block[156:157].replace(b"\0", _REGULAR)
    full = prefix + b"/" + name if prefix else name
    return _Header(full, kind, _octal(block[124:136], "size", archive))


def _octal(field: bytes, what: str, archive: Path) -> int:
    digits = field.strip(b" \0")
    if not digits or digits.strip(b"01234567"):
        raise refused(archive, f"has a header whose {what} {field!r} is no octal number")
    return int(digits, 8)


def _text(field: bytes, archive: Path) -> bytes:
    text, _, rest = field.partition(b"\0")
    if rest.strip(b"\0"):
        raise refused(archive, f"has a NUL within the name {field[:80]!r}")
    return text


def _check_kind(header: _Header, name: bytes, extension: dict[str, bytes], archive: Path) -> None:
    shown = repr(name[:80])[1:]
    if header.kind not in (_REGULAR, _FOLDER):
        kind = _KINDS.get(header.kind, f"an entry of type {header.kind!r}")
        raise refused(archive, f"holds {kind} at {shown}, expected files and folders only")
    if header.kind == _REGULAR and name.endswith(b"/"):
        raise refused(archive, f"lists the folder {shown} as a file")
    if extension.get("size", b"%d" % header.size) != b"%d" % header.size:
        raise refused(archive, f"declares two sizes for {shown}")


def _read_extension(stream: ByteStream, header: _Header, archive: Path) -> dict[str, bytes]:
    if header.size > _MAX_EXTENSION_BYTES:
        raise refused(archive, f"has an extended header of {header.size} bytes")
    records = dict(_records(stream.read(header.size), archive))
    forbidden = {"linkpath", "hdrcharset"} | ({"path", "size"} if header.kind == _GLOBAL else set())
    for key in records:
        if key in forbidden or key.startswith("GNU.sparse"):
            raise refused(archive, f"has an extended header that sets {key}")
    return {} if header.kind == _GLOBAL else records


def _records(data: bytes, archive: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the ``LENGTH KEY=VALUE`` lines of a pax header, each key once."""
    seen: set[str] = set()
    start = 0
    while start < len(data):
        digits = data[start : start + 8].partition(b" ")[0]
        end = start + (int(digits) if digits.isdigit() else 0)
        key, equals, value = data[start + len(digits) + 1 : end - 1].partition(b"=")
        name = key.decode("latin-1")
        if not equals or end > len(data) or data[end - 1 : end] != b"\n" or name in seen:
            raise refused(archive, f"has a damaged extended header at {data[start : start + 40]!r}")
        seen.add(name)
        yield name, value
        start = end
