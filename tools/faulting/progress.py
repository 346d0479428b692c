"""What a child was doing when it was killed, told through memory that outlives it."""

from __future__ import annotations

import mmap
import struct

_LAYOUT = struct.Struct("<q?16s")  # number of the operation, whether it is going on, its area


class Progress:
    """Shared with every child forked after it was made."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)

    def clear(self) -> None:
        """Forget the child before."""
        _LAYOUT.pack_into(self._memory, 0, 0, False, b"")

    def begin(self, number: int, area: str) -> None:
        """Note in the child that an operation begins."""
        _LAYOUT.pack_into(self._memory, 0, number, True, area.encode())

    def end(self) -> None:
        """Note in the child that the operation is done: it computes."""
        number, _, area = _LAYOUT.unpack_from(self._memory)
        _LAYOUT.pack_into(self._memory, 0, number, False, area)

    @property
    def number(self) -> int:
        """The last operation that began; 0: none."""
        return int(_LAYOUT.unpack_from(self._memory)[0])

    def where(self) -> str:
        """Return the area of the operation that was going on, or that none was."""
        number, going_on, area = _LAYOUT.unpack_from(self._memory)
        if going_on:
            return bytes(area).rstrip(b"\0").decode()
        return "computing" if number else "before the first operation"
