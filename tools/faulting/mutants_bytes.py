"""Damage that knows nothing of a format: bits, bytes and pieces of a file."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

_TELLING = (0x00, 0x01, 0x7F, 0x80, 0xFF, 0x0A, 0x20, 0x22, 0x5C)


def damage(random: Random, data: bytes, *, start: int = 0, stop: int | None = None) -> bytes:
    """Return ``data`` with one to three wounds, the first byte of each within [start, stop)."""
    wounded = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        end = len(wounded) if stop is None else min(stop, len(wounded))
        if start < end:
            random.choice(_WOUNDS)(random, wounded, random.randrange(start, end))
    return bytes(wounded)


def resized(random: Random, data: bytes) -> bytes:
    """Return ``data`` cut off, or with something after its end."""
    kind = random.randrange(4)
    if kind == 0:
        return data[: random.randrange(len(data) + 1)]
    if kind == 1:  # near the end, where trailers are
        return data[: -random.randint(1, min(12, len(data)) or 1)]
    tail = random.choice((b"\0", b"\n", b"\x1f\x8b", random.randbytes(random.randint(1, 40))))
    return data + tail * random.choice((1, 1, 8, 512))


def _flip_bit(random: Random, data: bytearray, at: int) -> None:
    data[at] ^= 1 << random.randrange(8)


def _set_byte(random: Random, data: bytearray, at: int) -> None:
    data[at] = random.choice(_TELLING)


def _scramble(random: Random, data: bytearray, at: int) -> None:
    end = min(at + random.randint(1, 16), len(data))
    data[at:end] = random.randbytes(end - at)


def _remove(random: Random, data: bytearray, at: int) -> None:
    del data[at : at + random.choice((1, 2, 4, 16))]


def _insert(random: Random, data: bytearray, at: int) -> None:
    data[at:at] = random.randbytes(random.choice((1, 2, 4, 16)))


def _repeat(random: Random, data: bytearray, at: int) -> None:
    data[at:at] = data[at : at + random.choice((1, 4, 16, 64))]


# a flipped bit keeps the rest of a file in place: it is the likeliest to reach deep
_WOUNDS: tuple[Callable[[Random, bytearray, int], None], ...] = (
    _flip_bit, _flip_bit, _flip_bit, _set_byte, _set_byte, _scramble, _remove, _insert, _repeat,
)  # fmt: skip
