"""Find and remove what killed builds and taken-back cases left in a cache folder."""

from __future__ import annotations

import re
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import _files
from ._disk import disk_failures_told
from ._format import CASE_FILES, JOURNAL, KEY_DIGITS, MANIFEST
from ._journal import (
    Entry,
    canonical_lines,
    is_intact,
    known_entries,
    named_files,
    sound_entries,
)
from ._manifest import read_manifest
from ._share import share_journals, share_locks
from .errors import BadInput

_ENDINGS = "|".join(map(re.escape, CASE_FILES))
_CASE_FILE = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._+-]*\.[0-9a-f]{{{KEY_DIGITS}}}({_ENDINGS})")
DAY_SECONDS = 86400  # a builder elsewhere touches its file many times a minute, or is no more


@dataclass(frozen=True)
class Garbage:
    """A file of a cache folder, the bytes that its removal frees, and why it goes or stays."""

    path: Path
    bytes: int
    reason: str


@dataclass(frozen=True)
class GarbageReport:
    """What :func:`collect_garbage` removed, or would, and what it left alone though not in use."""

    removed: tuple[Garbage, ...]
    kept: tuple[Garbage, ...]

    @property
    def bytes(self) -> int:
        """Bytes that were freed, or would be."""
        return sum(each.bytes for each in self.removed)


def collect_garbage(cache_dir: str | Path, *, dry_run: bool = False) -> GarbageReport:
    """Remove leftovers of a cache folder, and nothing that a build or a reader can still use.

    Leftovers are temporary files of processes that are no more (of another machine: untouched for
    a day); volumes and records that neither the manifest nor a journal names; lines of a journal
    whose files are gone, torn lines and those that a later one replaced; journals and locks of
    shares whose volumes a finished cache has taken over. Files of other names are not looked at.
    What an interrupted build has finished stays: the next one goes on from it.

    Args:
        cache_dir: the folder of a cache, finished or not.
        dry_run: tell what would go and remove nothing.

    Raises:
        BadInput: E_CACHE where it is no cache folder or its manifest is damaged; E_BUSY where a
            build is at work in it.
        DiskFailure: a file cannot be removed, or the file system has no locks, without which
            nobody can tell whether a build is at work.

    Example:
        >>> collect_garbage("cache", dry_run=True).bytes  # doctest: +SKIP
        73404416
    """
    cache = Path(cache_dir)
    if not any((cache / name).is_file() for name in (MANIFEST, JOURNAL, "lock")):
        raise BadInput("E_CACHE", cache, "is no cache", "name a folder that `build` made")
    with disk_failures_told(cache):
        try:
            with _files.locked(cache / "lock", courtesy=False):
                return _collect(cache, dry_run=dry_run)
        except BlockingIOError as error:
            cure = "wait until it has ended"
            raise BadInput("E_BUSY", cache, "a build is at work in it", cure) from error


def _collect(cache: Path, *, dry_run: bool) -> GarbageReport:
    manifest = read_manifest(cache) if (cache / MANIFEST).exists() else None
    in_use = {} if manifest is None else manifest.entries
    useful = _useful_entries(cache, in_use)
    leftovers, kept = _temporaries(cache)
    intact = [entry for entries in useful.values() for entry in entries]
    leftovers += _orphans(cache, named_files(cache, [*intact, *in_use.values()]))
    leftovers += _left_by_shares(cache, useful)
    lines = [
        entry
        for entry in sound_entries(cache / JOURNAL)
        if entry in useful.get(entry["case"], []) or entry == in_use.get(entry["case"])
    ]
    tidied = _tidied_journal(cache / JOURNAL, lines)
    if not dry_run:
        for each in leftovers:
            _files.remove(each.path)
        if tidied:
            _files.write_durably(cache / JOURNAL, canonical_lines(lines))
    return GarbageReport((*leftovers, *tidied), tuple(kept))


def _useful_entries(cache: Path, in_use: Mapping[str, Entry]) -> dict[str, list[Entry]]:
    """Return the entries of each case that a build can go on from, or that the manifest holds."""
    useful: dict[str, list[Entry]] = {}
    for case, entries in known_entries(cache).items():
        if intact := [entry for entry in entries if is_intact(cache, entry)]:
            useful[case] = intact
        elif case in in_use:
            useful[case] = entries[-1:]  # damage of a finished cache: `check` and `build` tell it
    return useful


def _temporaries(cache: Path) -> tuple[list[Garbage], list[Garbage]]:
    """Return temporary files that nobody writes any more, and those that somebody may."""
    leftovers: list[Garbage] = []
    kept: list[Garbage] = []
    for folder in (cache, cache / "volumes", cache / "tmp"):
        for path, size, age_seconds in _files_in(folder):
            owner = _files.owner_of(path.name)
            if owner == "a dead process":
                leftovers.append(Garbage(path, size, f"temporary file of {owner}"))
            elif owner.startswith("machine") and age_seconds > DAY_SECONDS:
                days = int(age_seconds // DAY_SECONDS)
                reason = f"temporary file of {owner}, untouched for {days} days"
                leftovers.append(Garbage(path, size, reason))
            elif owner:
                kept.append(Garbage(path, size, f"temporary file of {owner}, which may live"))
    return leftovers, kept


def _orphans(cache: Path, named: set[Path]) -> Iterator[Garbage]:
    for path, size, _ in _files_in(cache / "volumes"):
        if path not in named and _CASE_FILE.fullmatch(path.name):
            yield Garbage(path, size, "named by no manifest and no journal")


def _left_by_shares(cache: Path, useful: Mapping[str, Sequence[Entry]]) -> Iterator[Garbage]:
    """Yield journals of shares that say nothing more, and all locks: no share is at work now."""
    own = sound_entries(cache / JOURNAL)
    for path in share_journals(cache):
        entries = [entry for entry in sound_entries(path) if entry not in own]
        if not any(entry in useful.get(entry["case"], []) for entry in entries):
            yield Garbage(path, path.stat().st_size, "journal of a share that says nothing more")
    for path in share_locks(cache):
        yield Garbage(path, path.stat().st_size, "lock of a share that has ended")


def _tidied_journal(journal: Path, lines: Sequence[Entry]) -> tuple[Garbage, ...]:
    """Return what a journal of ``lines`` only frees, if anything."""
    freed = journal.stat().st_size - len(canonical_lines(lines)) if journal.is_file() else 0
    reason = "lines that were torn or replaced, or whose files are gone"
    return (Garbage(journal, freed, reason),) if freed > 0 else ()


def _files_in(folder: Path) -> Iterator[tuple[Path, int, float]]:
    """Yield the regular files of a folder, in order of names, with bytes and age."""
    now = time.time()
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        status = path.lstat()
        if stat.S_ISREG(status.st_mode):
            yield path, status.st_size, now - status.st_mtime
