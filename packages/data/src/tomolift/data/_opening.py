"""What is checked when a cache is opened, before a record or a voxel is read."""

from __future__ import annotations

from pathlib import Path

from ._manifest import Manifest, check_sizes, manifest_bytes, parse_manifest
from ._msd import read_task
from ._sources import sources_of, what_changed
from ._stamps import Stamp, was_rebuilt
from .errors import BadInput


def read_consistently(path: Path) -> tuple[Manifest, dict[Path, Stamp]]:
    """Return the manifest and the stamps of the files that it names.

    Raises:
        BadInput: E_CACHE: no cache, damaged, or a build is replacing its files just now.
    """
    data = manifest_bytes(path)
    manifest = parse_manifest(data, path)
    stamps: dict[Path, Stamp] = {}
    for volume in manifest.volumes.values():
        stamps |= check_sizes(path, volume)
    # a build removes the manifest before it replaces a file: the stamps are of these contents
    if manifest_bytes(path) != data:
        raise was_rebuilt(path)
    return manifest, stamps


def compare_sources(path: Path, manifest: Manifest, task_dir: Path) -> None:
    """Refuse a cache whose sources have changed since it was built.

    Raises:
        BadInput: E_CHANGED, or what :func:`read_task` raises.
    """
    task = read_task(task_dir)
    known = {case.name: case for case in task.cases}
    for name, entry in manifest.entries.items():
        if name not in known:
            problem = f"case {name} is no longer in {task_dir / 'dataset.json'}"
            raise BadInput("E_CHANGED", path, problem, "build again")
        now = {**entry, "sources": sources_of(task, known[name]), "classes": len(task.label_names)}
        if changes := what_changed(entry, now):
            raise BadInput("E_CHANGED", path, f"case {name}: {changes}", "build again")
