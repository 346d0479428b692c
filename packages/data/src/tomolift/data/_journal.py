"""The journal of a cache: one signed line per finished, dropped or failed volume.

It is what a resumed build trusts. A torn or damaged line is simply not there: its volume is
built again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

from ._entry_form import is_sound_entry
from ._files import append_durably, write_durably
from ._format import (
    JOURNAL,
    CasePaths,
    canonical_json,
    crc32,
    is_signed,
    npy_bytes,
    signed,
)
from ._manifest import MAX_MANIFEST_BYTES
from ._share import share_journals

Entry = dict[str, Any]


def read_journal(cache_dir: Path) -> dict[str, Entry]:
    """Return the last sound entry of each case in the journal of the whole cache."""
    return {entry["case"]: entry for entry in sound_entries(cache_dir / JOURNAL)}


def known_entries(cache_dir: Path) -> dict[str, list[Entry]]:
    """Return all that is known of each case: from the whole cache's journal and from shares'."""
    known: dict[str, list[Entry]] = {}
    for path in (cache_dir / JOURNAL, *share_journals(cache_dir)):
        for entry in sound_entries(path):
            known.setdefault(entry["case"], []).append(entry)
    return known


def sound_entries(path: Path) -> list[Entry]:
    """Return the entries of one journal, without lines that were torn or damaged."""
    return [entry for entry in map(_entry_of, _lines(path)) if entry is not None]


def damaged_lines(cache_dir: Path) -> list[int]:
    """Return the numbers, from 1, of lines that are no sound entries."""
    lines = enumerate(_lines(cache_dir / JOURNAL), start=1)
    return [number for number, line in lines if _entry_of(line) is None]


def _lines(path: Path) -> list[bytes]:
    return _contents(path).splitlines()


def _contents(path: Path) -> bytes:
    """Return what a journal holds; of one that is larger than any, a line that is no entry."""
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:  # its entries are those of a manifest
            return b"larger than any journal"
        return path.read_bytes()
    except FileNotFoundError:  # none yet, or the build that ends has taken a share's away
        return b""


def _entry_of(line: bytes) -> Entry | None:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):  # torn by a crash: as if never written
        return None
    return entry if is_signed(entry) and is_sound_entry(entry) else None


def append_entry(journal: Path, entry: Entry) -> None:
    """Record what became of one case, durably."""
    append_durably(journal, canonical_json(signed(entry)))


def mend_journal(journal: Path) -> None:
    """Take a torn last line away, so that the next one does not grow onto it."""
    if not _contents(journal).endswith(b"\n") and journal.exists():
        rewrite_journal(journal, {entry["case"]: entry for entry in sound_entries(journal)})


def rewrite_journal(journal: Path, entries: dict[str, Entry]) -> None:
    """Put the entries in case order, so that equal caches have equal journals."""
    rewrite(journal, canonical_lines([entries[case] for case in sorted(entries)]))


def rewrite(path: Path, data: bytes) -> None:
    """Put ``data`` at ``path``, durably, unless it stands there."""
    # the size first: a file that was tampered with may be a hole of any size
    if not path.is_file() or path.stat().st_size != len(data) or path.read_bytes() != data:
        write_durably(path, data)


def canonical_lines(entries: Sequence[Entry]) -> bytes:
    """Return the contents of a journal of these entries."""
    return b"".join(map(canonical_json, entries))


def named_files(cache_dir: Path, entries: Iterable[Entry]) -> set[Path]:
    """Return the volumes and records that entries speak of."""
    finished = [entry for entry in entries if entry["status"] == "ok"]
    each = [CasePaths.of(cache_dir, entry["case"], entry["key"]) for entry in finished]
    return {path for paths in each for path in astuple(paths)}


def is_intact(cache_dir: Path, entry: Entry) -> bool:
    """Return whether the files that an entry speaks of are there: its record, volumes of full size.

    The record holds their checksums, and is gone while they are replaced: by equal ones, where
    the key in their names is the same.
    """
    if entry["status"] != "ok":
        return True
    paths = CasePaths.of(cache_dir, entry["case"], entry["key"])
    depth, height, width = entry["shape"]
    expected = {
        paths.image: npy_bytes((depth, height, width), entry["dtype"]),
        paths.label: npy_bytes((depth, height, width), "|u1"),
        paths.record: entry["record_bytes"],
    }
    try:
        if any(path.stat().st_size != size for path, size in expected.items()):
            return False
        return crc32(paths.record.read_bytes()) == entry["record_crc32"]
    except FileNotFoundError:
        return False
