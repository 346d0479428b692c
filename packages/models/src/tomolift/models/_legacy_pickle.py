"""The few pickle opcodes in which torch 0.1 wrote plain weights, read without executing anything.

Nothing is imported and nothing is called: a name in the stream becomes a `Name`, and the only
objects that are built are dictionaries and `Parameter` records.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Name:
    """A class that the stream refers to, as two strings."""

    module: str
    attribute: str


@dataclass
class Parameter:
    """What stands for `torch.nn.Parameter`; its data is what the stream wrapped in it."""

    data: object = None


_DICTIONARIES = {Name("collections", "OrderedDict")}
_PARAMETERS = {
    Name("torch.nn.parameter", "Parameter"),
    Name("torch.autograd.variable", "Variable"),
}
_MARK = object()


class PlainPickle:
    r"""A cursor over bytes that alternate between pickled values and raw data.

    Args:
        data: the bytes.
        persistent: gives the object for a persistent id; None where the stream has none.

    Example:
        >>> PlainPickle(b"\x80\x02]q\x00(K\x01U\x01ae.").value()
        [1, 'a']
    """

    def __init__(
        self, data: memoryview | bytes, *, persistent: Callable[[object], object] | None = None
    ) -> None:
        self._data = memoryview(data)
        self._position = 0
        self._persistent = persistent
        self._stack: list[object] = []
        self._memo: dict[int, object] = {}

    def take(self, count: int) -> memoryview:
        """Return the next `count` raw bytes.

        Raises:
            ValueError: fewer are left.
        """
        if not 0 <= count <= len(self._data) - self._position:
            raise ValueError("its data ends early")
        self._position += count
        return self._data[self._position - count : self._position]

    def value(self) -> object:
        """Return the next pickled value.

        Raises:
            ValueError: the data ends, or holds anything that plain weights never need.
        """
        self._stack, self._memo = [], {}
        while True:
            opcode = bytes(self.take(1))
            if opcode == b".":
                return self._pop()
            self._step(opcode)

    def _step(self, opcode: bytes) -> None:
        push = self._stack.append
        match opcode:
            case b"\x80":
                if self._unsigned(1) > 2:
                    raise ValueError("its pickle protocol is newer than torch 0.1")
            case b"(":
                push(_MARK)
            case b"N":
                push(None)
            case b"\x88" | b"\x89":
                push(opcode == b"\x88")
            case b"K" | b"M":
                push(self._unsigned(1 if opcode == b"K" else 2))
            case b"J":
                push(int.from_bytes(self.take(4), "little", signed=True))
            case b"\x8a":
                push(int.from_bytes(self.take(self._unsigned(1)), "little", signed=True))
            case b"I":
                # Python 2 writes integers above 32 bits, such as torch's addresses, as text.
                push(self._decimal())
            case b"G":
                push(struct.unpack(">d", self.take(8))[0])
            case b"U" | b"T":
                push(str(self.take(self._unsigned(1 if opcode == b"U" else 4)), "latin-1"))
            case b"X":
                push(str(self.take(self._unsigned(4)), "utf-8"))
            case b"c":
                push(Name(self._line(), self._line()))
            case b")" | b"]" | b"}":
                push(() if opcode == b")" else [] if opcode == b"]" else {})
            case b"\x85" | b"\x86" | b"\x87":
                push(tuple(reversed([self._pop() for _ in range(opcode[0] - 0x84)])))
            case b"t":
                push(tuple(self._pop_to_mark()))
            case b"q" | b"r":
                index = self._unsigned(1 if opcode == b"q" else 4)
                self._memo[index] = self._top()
            case b"h" | b"j":
                push(self._remembered(self._unsigned(1 if opcode == b"h" else 4)))
            case b"a" | b"e":
                self._extend([self._pop()] if opcode == b"a" else self._pop_to_mark())
            case b"s" | b"u":
                pair = [self._pop(), self._pop()][::-1] if opcode == b"s" else self._pop_to_mark()
                _fill(self._top(), pair)
            case b"R" | b"\x81":
                arguments = self._pop()
                push(_construct(self._pop(), arguments))
            case b"b":
                state = self._pop()
                _set_state(self._top(), state)
            case b"Q":
                if self._persistent is None:
                    raise ValueError("it refers to an object where it must not")
                push(self._persistent(self._pop()))
            case _:
                raise ValueError(
                    f"it holds pickle opcode {opcode!r}, which plain weights never need"
                )

    def _pop(self) -> object:
        if not self._stack or self._stack[-1] is _MARK:
            raise ValueError("its pickle is malformed")
        return self._stack.pop()

    def _top(self) -> object:
        if not self._stack or self._stack[-1] is _MARK:
            raise ValueError("its pickle is malformed")
        return self._stack[-1]

    def _pop_to_mark(self) -> list[object]:
        items: list[object] = []
        while self._stack:
            item = self._stack.pop()
            if item is _MARK:
                return items[::-1]
            items.append(item)
        raise ValueError("its pickle is malformed")

    def _extend(self, items: list[object]) -> None:
        target = self._top()
        if not isinstance(target, list):
            raise ValueError("its pickle is malformed")
        target.extend(items)

    def _remembered(self, index: int) -> object:
        if index not in self._memo:
            raise ValueError("its pickle is malformed")
        return self._memo[index]

    def _unsigned(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def _line(self) -> str:
        end = bytes(self._data[self._position : self._position + 256]).find(b"\n")
        if end < 0:
            raise ValueError("its pickle is malformed")
        return str(self.take(end + 1)[:-1], "ascii")

    def _decimal(self) -> int:
        text = self._line()
        if len(text) > 20:
            raise ValueError("its pickle is malformed")
        return int(text)


def _construct(name: object, arguments: object) -> object:
    if not isinstance(name, Name) or not isinstance(arguments, tuple):
        raise ValueError("its pickle is malformed")
    if name in _DICTIONARIES and len(arguments) <= 1:
        built: dict[object, object] = {}
        for pair in arguments[0] if arguments and isinstance(arguments[0], list) else []:
            if not isinstance(pair, list | tuple):
                raise ValueError("its pickle is malformed")
            _fill(built, list(pair))
        return built
    if name in _PARAMETERS:
        return Parameter(arguments[0] if arguments else None)
    raise ValueError(f"it calls {name.module}.{name.attribute}, which plain weights never do")


def _fill(target: object, flat: list[object]) -> None:
    """Set `target` from alternating keys and values."""
    if not isinstance(target, dict) or len(flat) % 2:
        raise ValueError("its pickle is malformed")
    for key, value in zip(flat[::2], flat[1::2], strict=True):
        if not isinstance(key, str | int):  # hashing a nested tuple can take for ever
            raise ValueError("it has a dictionary key that is neither a string nor an integer")
        target[key] = value


def _set_state(target: object, state: object) -> None:
    """Apply a Parameter's state: (data, grad, hooks, requires_grad, volatile), or flags alone."""
    if isinstance(target, Parameter) and isinstance(state, tuple):
        if len(state) == 5:
            target.data = state[0]
    elif not (isinstance(target, dict) and isinstance(state, dict)):
        raise ValueError("its pickle is malformed")
