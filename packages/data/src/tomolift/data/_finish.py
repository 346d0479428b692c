"""The end of a build: one journal in case order, the manifest, and nothing that neither names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from . import _files
from ._format import (
    CASE_FILES,
    FORMAT,
    JOURNAL,
    MANIFEST,
    VERSION,
    Configuration,
    canonical_json,
    signed,
)
from ._journal import Entry, known_entries, named_files, rewrite, rewrite_journal
from ._msd import IGNORE_LABEL, Task
from ._share import share_journals, share_locks
from .errors import BadInput


def finish(task: Task, configuration: Configuration, entries: dict[str, Entry], cache: Path) -> str:
    """Turn entries, in the order of the task, into a finished cache and return its fingerprint.

    Raises:
        BadInput: E_EMPTY where no volume is left; a cache that was there stays.
    """
    if not any(entry["status"] == "ok" for entry in entries.values()):
        raise _nothing_built(task, entries, cache)
    rewrite_journal(cache / JOURNAL, entries)
    manifest = _manifest(task, configuration, entries)
    rewrite(cache / MANIFEST, canonical_json(manifest))
    _remove_others(cache, entries.values())
    _remove_shares(cache)
    return str(manifest["fingerprint"])


def _manifest(
    task: Task, configuration: Configuration, entries: dict[str, Entry]
) -> dict[str, Any]:
    content = {
        "format": FORMAT,
        "version": VERSION,
        "task_name": task.name,
        "whole_task": len(entries) == len(task.cases),
        "label_names": list(task.label_names),
        "ignore_label": IGNORE_LABEL,
        "configuration": configuration.to_json(),
        "entries": list(entries.values()),
    }
    fingerprint = hashlib.sha256(canonical_json(content)).hexdigest()
    return signed({**content, "fingerprint": fingerprint})


def _remove_others(cache: Path, entries: Iterable[Entry]) -> None:
    """Remove the volumes that an earlier build had and this one has not."""
    named = named_files(cache, entries)
    for path in sorted((cache / "volumes").iterdir()):
        if path not in named and path.name.endswith(CASE_FILES):
            _files.remove(path)


def _remove_shares(cache: Path) -> None:
    """Remove what shares left, whose entries now stand in the cache's own journal."""
    for path in [*share_journals(cache), *share_locks(cache)]:
        _files.remove(path)


def _nothing_built(task: Task, entries: dict[str, Entry], cache: Path) -> BadInput:
    """Return the error, and take back what the attempt left where nothing was before.

    Finished volumes of shares or of a build that was stopped, with other options, stay: one option
    mistyped must not cost the work of a cluster.
    """
    known = known_entries(cache).values()
    finished = any(entry["status"] == "ok" for each in known for entry in each)
    if not finished and not (cache / MANIFEST).exists():
        _remove_shares(cache)
        _files.remove(cache / JOURNAL)
        for folder in (cache / "volumes", cache / "tmp"):
            _files.remove_empty(folder)
        _files.remove(cache / "lock")  # whoever waits for it sees that it is gone
        _files.remove_empty(cache)
    dropped = [entry["depth"] for entry in entries.values() if entry["status"] == "dropped"]
    failed = [entry["message"] for entry in entries.values() if entry["status"] == "failed"]
    reasons = [f"{len(failed)} failed (the first: {failed[0]})"] if failed else []
    reasons += [f"{len(dropped)} have fewer slices than asked for"] if dropped else []
    cure = "see `verify`, or use a smaller depth or short=pad"
    return BadInput("E_EMPTY", task.folder, f"no volume is left: {', '.join(reasons)}", cure)
