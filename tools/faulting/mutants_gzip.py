"""Mutants of gzip streams: sound ones of every form, and damaged ones (RFC 1952)."""

from __future__ import annotations

import struct
import zlib
from random import Random

from faulting.mutants_bytes import damage, resized

_TEXT, _HEADER_CRC, _EXTRA, _NAME, _COMMENT = 1, 2, 4, 8, 16


def gzip_mutant(random: Random, data: bytes, *, hostile: float = 0.5) -> bytes:
    """Return ``data`` compressed into one or more members, damaged with chance ``hostile``."""
    count = random.choice((1, 1, 1, 2, 3))
    cuts = sorted(random.randrange(len(data) + 1) for _ in range(count - 1))
    ends = zip([0, *cuts], [*cuts, len(data)], strict=True)
    stream = b"".join(_member(random, data[start:stop]) for start, stop in ends)
    if random.random() >= hostile:
        return stream
    kind = random.randrange(4)
    if kind == 0:
        return resized(random, stream)
    if kind == 1:  # the last trailer: CRC32 and length
        return damage(random, stream, start=len(stream) - 8)
    if kind == 2:  # the first member's header
        return damage(random, stream, stop=12)
    return damage(random, stream)


def _member(random: Random, data: bytes) -> bytes:
    flags, optional = _optional_fields(random)
    head = struct.pack("<2sBBIBB", b"\x1f\x8b", 8, flags, 0, 0, 255) + optional
    if flags & _HEADER_CRC:
        head += struct.pack("<H", zlib.crc32(head) & 0xFFFF)
    strategy = random.choice((zlib.Z_DEFAULT_STRATEGY, zlib.Z_FIXED, zlib.Z_RLE))
    deflate = zlib.compressobj(random.choice((0, 1, 6)), zlib.DEFLATED, -15, 9, strategy)
    body = deflate.compress(data)
    if random.random() < 0.2:  # an empty stored block between
        body += deflate.flush(zlib.Z_SYNC_FLUSH)
    body += deflate.flush()
    return head + body + struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)


def _optional_fields(random: Random) -> tuple[int, bytes]:
    if random.random() < 0.6:
        return 0, b""
    flags, fields = random.choice((0, _TEXT, _HEADER_CRC)), b""
    if random.random() < 0.3:
        content = random.randbytes(random.choice((0, 4, 300)))
        flags, fields = flags | _EXTRA, struct.pack("<H", len(content)) + content
    for flag in (_NAME, _COMMENT):
        if random.random() < 0.3:
            flags |= flag
            fields += (
                bytes(random.randint(1, 255) for _ in range(random.choice((0, 5, 200)))) + b"\0"
            )
    return flags, fields
