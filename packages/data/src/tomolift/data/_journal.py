"""The journal of a cache: one signed line per finished, dropped or failed volume.

It is what a resumed build trusts. A torn or damaged line is simply not there: its volume is
built again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ._files import append_durably, write_durably
from ._format import JOURNAL, CasePaths, canonical_json, crc32, is_signed, npy_bytes, signed

Entry = dict[str, Any]
_ALWAYS = {"case", "status", "key", "sources", "configuration", "classes"}
_FIELDS = {
    "ok": {"shape", "dtype", "valid", "record_bytes", "record_crc32", "notes"},
    "dropped": {"depth"},
    "failed": {"code", "message"},
}


def read_journal(cache_dir: Path) -> dict[str, Entry]:
    """Return the last sound entry of each case."""
    lines = (_entry_of(line) for line in _lines(cache_dir))
    return {entry["case"]: entry for entry in lines if entry is not None}


def damaged_lines(cache_dir: Path) -> list[int]:
    """Return the numbers, from 1, of lines that are no sound entries."""
    lines = enumerate(_lines(cache_dir), start=1)
    return [number for number, line in lines if _entry_of(line) is None]


def _lines(cache_dir: Path) -> list[bytes]:
    path = cache_dir / JOURNAL
    return path.read_bytes().splitlines() if path.is_file() else []


def _entry_of(line: bytes) -> Entry | None:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):  # torn by a crash: as if never written
        return None
    return entry if is_signed(entry) and _is_complete(entry) else None


def _is_complete(entry: Entry) -> bool:
    return entry.keys() >= _ALWAYS | _FIELDS.get(str(entry.get("status")), {"an unknown status"})


def append_entry(cache_dir: Path, entry: Entry) -> None:
    """Record what became of one case, durably."""
    append_durably(cache_dir / JOURNAL, canonical_json(signed(entry)))


def mend_journal(cache_dir: Path) -> None:
    """Take a torn last line away, so that the next one does not grow onto it."""
    path = cache_dir / JOURNAL
    if path.is_file() and not path.read_bytes().endswith(b"\n"):
        rewrite_journal(cache_dir, read_journal(cache_dir))


def rewrite_journal(cache_dir: Path, entries: dict[str, Entry]) -> None:
    """Put the entries in case order, so that equal caches have equal journals."""
    lines = b"".join(canonical_json(entries[case]) for case in sorted(entries))
    path = cache_dir / JOURNAL
    if not path.is_file() or path.read_bytes() != lines:
        write_durably(path, lines)


def is_intact(cache_dir: Path, entry: Entry) -> bool:
    """Return whether the files that an entry speaks of are there: its record, volumes of full size.

    The record tells builds apart whose volumes are equally large: it holds their checksums and is
    gone while they are replaced.
    """
    if entry["status"] != "ok":
        return True
    paths = CasePaths.of(cache_dir, entry["case"])
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
