"""Cheap identity of source files: what decides whether a cached volume is still true."""

from __future__ import annotations

import hashlib
import os
from typing import Any

from ._format import VERSION, Configuration, canonical_json
from ._msd import Case, Task, source_path
from .errors import BadInput

Sources = dict[str, dict[str, Any] | None]


def sources_of(task: Task, case: Case) -> Sources:
    """Return path, size, mtime and last eight bytes (gzip's CRC32 and length) of both files.

    A file that is missing or refused is None: the verdict changes when the file does.
    """
    return {"image": _identity(task, case.image), "label": _identity(task, case.label)}


def case_key(case: Case, sources: Sources, *, configuration: Configuration, classes: int) -> str:
    """Return the hash of everything that a cached volume depends on."""
    content = {
        "version": VERSION,
        "case": case.name,
        "files": [case.image, case.label],
        "sources": sources,
        "configuration": configuration.to_json(),
        "classes": classes,
    }
    return hashlib.sha256(canonical_json(content)).hexdigest()


def what_changed(old: dict[str, Any], new: dict[str, Any]) -> str:
    """Return in words how two journal entries of a case differ in what they were built from.

    Example:
        >>> what_changed({"configuration": {"depth": 48}}, {"configuration": {"depth": 70}})
        'depth 48 -> 70'
    """
    parts = []
    # journals of format 1 did not name it
    formats = old.get("version", 1), new.get("version", 1)
    if formats[0] != formats[1]:
        parts.append(f"cache format {formats[0]} -> {formats[1]}")
    for name, value in new.get("configuration", {}).items():
        before = old.get("configuration", {}).get(name)
        if before != value:
            parts.append(f"{name} {before} -> {value}")
    if old.get("classes") != new.get("classes"):
        parts.append(f"classes {old.get('classes')} -> {new.get('classes')}")
    for role, value in new.get("sources", {}).items():
        before = old.get("sources", {}).get(role)
        if before == value:
            continue
        if before is None or value is None:
            parts.append(f"{role} file {'appeared' if before is None else 'is gone'}")
            continue
        fields = [field for field in value if before.get(field) != value[field]]
        told = [_told(field, before.get(field), value[field]) for field in fields]
        parts.append(f"{role} file changed ({', '.join(told)})")
    return ", ".join(parts)


def _told(field: str, before: object, now: object) -> str:
    """Return what changed: of times and trailers, the name says more than the number."""
    return f"{field} {before} -> {now}" if field in ("path", "size") else field


def _identity(task: Task, relative: str) -> dict[str, Any] | None:
    try:
        path = source_path(task, relative)
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            file.seek(max(0, status.st_size - 8))
            trailer = file.read(8)
    except (BadInput, OSError):  # told in full when the case is ingested
        return None
    return {
        "path": relative,
        "size": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "trailer": trailer.hex(),
    }
