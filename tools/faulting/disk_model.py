"""What may be on a disk after its power was cut: a model of files, folders and fsync.

Every operation of a writer becomes events: of a file's contents (bytes at a place, a size) or of
a folder's entries (a name set or removed). An event is durable once its own file or folder was
fsynced after it; of the others any may be lost, independently of their order, and a write may be
torn. That is harsher than journaling file systems, which keep the order of entries and write a
new file's entry with the file. A rename within a folder is one change of it; between two folders
it never loses the file itself: the old name goes only where the new one has come.

Not modelled: disks that lie about fsync, sectors that rot, a lost fallocate that leaves old
contents of other files behind, and what is written through memory maps.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from faulting.operations import Operation

Contents = dict[str, bytes]  # as faulting.states.folder_bytes gives them


@dataclass
class Node:
    """A file or a folder, apart from its names; `number` tells it from every other one."""

    number: int
    is_folder: bool


@dataclass(frozen=True, eq=False)
class Event:
    """One change that a power cut may undo: of a name, or of contents where there is none.

    A name gets an `entry`, which loses its `old_name` if that was in the same folder, or it goes.
    Contents get `data` at `offset` or, without any, room for `size`; `cuts`: no more than `size`.
    """

    node: Node
    name: str = ""
    entry: Node | None = None
    old_name: str = ""
    data: bytes = b""
    offset: int = 0
    size: int = 0
    cuts: bool = False
    needs: Event | None = None

    @property
    def is_write(self) -> bool:
        """Whether it can be torn."""
        return len(self.data) > 1


@dataclass
class Recording:
    """The events of a writer below `root`, and after which operation each was durable.

    Attributes:
        root: a folder that is there all the time.
        first: the root's node.
        events: each with the number of the operation that caused it.
        durable: of an event, the operation that made it durable.
        operations: how many there were.
    """

    root: Path
    first: Node = field(default_factory=lambda: Node(0, is_folder=True))
    events: list[tuple[int, Event]] = field(default_factory=list)
    durable: dict[Event, int] = field(default_factory=dict)
    operations: int = 0
    _nodes: int = 0

    def begin_with(self, contents: Contents) -> None:
        """Take over what is on disk, durably, before the first operation."""
        for name, data in contents.items():
            path = self.root / name.rstrip("/")
            node = self._add(0, path, is_folder=name.endswith("/"))
            if data:
                self.events.append((0, Event(node, data=data, size=len(data))))
        self.durable = {event: 0 for _, event in self.events}

    def note(self, operation: Operation) -> None:
        """Take over an operation that is going to succeed."""
        self.operations = operation.number
        kinds: dict[str, Callable[[Operation], None]] = {
            "open": self._open, "write": self._write, "fallocate": self._resize,
            "truncate": self._resize,
            "fsync": self._sync, "rename": self._rename, "unlink": self._remove,
            "rmdir": self._remove, "mkdir": self._make_folder,
        }  # fmt: skip
        kinds[operation.kind](operation)

    def pending(self, number: int) -> list[Event]:
        """Return the events of the first `number` operations that are not durable by then."""
        return [
            event
            for operation, event in self.events
            if operation <= number and self.durable.get(event, number + 1) > number
        ]

    def contents(
        self, number: int, lost: Iterable[Event] = (), torn: Iterable[Event] = ()
    ) -> Contents:
        """Return what is there after a cut behind operation `number`."""
        gone, halved = set(lost), set(torn)
        entries: dict[int, dict[str, Node]] = {self.first.number: {}}
        data: dict[int, bytearray] = {}
        for operation, event in self.events:
            if operation <= number and event not in gone and event.needs not in gone:
                apply(event, entries, data, halved=event in halved)
        return dict(sorted(_walk(self.first, "", entries, data)))

    def _open(self, operation: Operation) -> None:
        is_there = self._find(operation.path) is not None
        if is_there and operation.flags & os.O_TRUNC:
            raise NotImplementedError(
                f"{operation.path} is emptied in place, which is not modelled"
            )
        if operation.flags & os.O_CREAT and not is_there:
            self._add(operation.number, operation.path, is_folder=False)

    def _make_folder(self, operation: Operation) -> None:
        self._add(operation.number, operation.path, is_folder=True)

    def _write(self, operation: Operation) -> None:
        node = self._known(operation.path)
        offset = operation.offset
        if offset is None:
            name = str(operation.path.relative_to(self.root))
            offset = len(self.contents(operation.number)[name])
        size = offset + len(operation.data)
        event = Event(node, data=operation.data, offset=offset, size=size)
        self.events.append((operation.number, event))

    def _resize(self, operation: Operation) -> None:
        cuts = operation.kind == "truncate"
        event = Event(self._known(operation.path), size=operation.offset or 0, cuts=cuts)
        self.events.append((operation.number, event))

    def _sync(self, operation: Operation) -> None:
        node = self._known(operation.path)
        for _, event in self.events:
            if event.node is node:
                self.durable.setdefault(event, operation.number)

    def _rename(self, operation: Operation) -> None:
        node, target = self._known(operation.path), operation.target or operation.path
        old, new = self._known(operation.path.parent), self._known(target.parent)
        coming = Event(new, target.name, node, old_name=operation.path.name if old is new else "")
        self.events.append((operation.number, coming))
        if old is not new:
            going = Event(old, operation.path.name, needs=coming)
            self.events.append((operation.number, going))

    def _remove(self, operation: Operation) -> None:
        event = Event(self._known(operation.path.parent), operation.path.name)
        self.events.append((operation.number, event))

    def _add(self, number: int, path: Path, *, is_folder: bool) -> Node:
        self._nodes += 1
        node = Node(self._nodes, is_folder)
        self.events.append((number, Event(self._known(path.parent), path.name, node)))
        return node

    def _known(self, path: Path) -> Node:
        node = self._find(path)
        if node is None:
            raise KeyError(f"{path} was changed, but nobody saw it made")
        return node

    def _find(self, path: Path) -> Node | None:
        """Return what has this name as long as nothing is lost."""
        node: Node | None = self.first
        for name in path.relative_to(self.root).parts:
            found = None
            for _, event in self.events:
                if event.node is node and name in (event.name, event.old_name):
                    found = event.entry if event.name == name else None
            node = found
        return node


def apply(
    event: Event, entries: dict[int, dict[str, Node]], data: dict[int, bytearray], *, halved: bool
) -> None:
    """Let one event happen."""
    node = event.node.number
    if event.entry is not None:
        entries.setdefault(node, {}).pop(event.old_name, None)
        entries[node][event.name] = event.entry
    elif event.name:
        entries.setdefault(node, {}).pop(event.name, None)
    else:
        held = data.setdefault(node, bytearray())
        kept = event.data[: len(event.data) // 2] if halved else event.data
        end = event.offset + len(kept) if event.data else event.size
        if event.cuts:
            del held[event.size :]
        held.extend(bytes(max(0, end - len(held))))
        held[event.offset : event.offset + len(kept)] = kept


def _walk(
    node: Node, name: str, entries: dict[int, dict[str, Node]], data: dict[int, bytearray]
) -> Iterable[tuple[str, bytes]]:
    if not node.is_folder:
        yield name, bytes(data.get(node.number, b""))
        return
    if name:
        yield f"{name}/", b""
    for each, entry in entries.get(node.number, {}).items():
        yield from _walk(entry, f"{name}/{each}" if name else each, entries, data)
