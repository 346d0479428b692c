"""What is checked when a cache is opened, before a record or a voxel is read."""

from __future__ import annotations

from pathlib import Path

from ._manifest import Manifest, check_sizes, manifest_bytes, parse_manifest
from ._msd import read_task
from ._sources import sources_of, what_changed
from ._stamps import Stamp, was_rebuilt
from .errors import BadInput

MOST_ATTEMPTS = 10  # a build that ends meanwhile costs one


def read_consistently(path: Path) -> tuple[Manifest, dict[Path, Stamp]]:
    """Return the manifest and the stamps of the files that it names.

    Raises:
        BadInput: E_CACHE: no cache, damaged, or builds end faster than it can be read.
    """
    for _ in range(MOST_ATTEMPTS):
        data = manifest_bytes(path)
        manifest = parse_manifest(data, path)
        stamps: dict[Path, Stamp] = {}
        try:
            for volume in manifest.volumes.values():
                stamps |= check_sizes(path, volume)
        except BadInput:
            if manifest_bytes(path) == data:
                raise
        # the end of a build removes the volumes of the cache before: the stamps are all of one
        if manifest_bytes(path) == data:
            return manifest, stamps
    raise was_rebuilt(path)


def compare_sources(path: Path, manifest: Manifest, task_dir: Path) -> None:
    """Refuse a cache whose sources have changed since it was built.

    A case that ``dataset.json`` lists and the cache has not is a change of a cache that was built
    of all cases, and none of a cache of chosen ones.

    Raises:
        BadInput: E_CHANGED, or what :func:`read_task` raises.
    """
    task = read_task(task_dir)
    listed = {case.name: case for case in task.cases}
    if manifest.label_names != task.label_names:
        problem = f"classes are {list(task.label_names)} now, were {list(manifest.label_names)}"
        raise BadInput("E_CHANGED", path, problem, "build again")
    changes: dict[str, str] = {}
    for name, entry in manifest.entries.items():
        if name not in listed:
            changes[name] = f"is no longer in {task_dir / 'dataset.json'}"
            continue
        now = {**entry, "sources": sources_of(task, listed[name])}
        if change := what_changed(entry, now):
            changes[name] = change
    if manifest.whole_task:
        new = [case for case in listed if case not in manifest.entries]
        changes |= dict.fromkeys(new, "is not in the cache")
    if changes:
        case, change = next(iter(changes.items()))
        more = f" (and {len(changes) - 1} more changed)" if len(changes) > 1 else ""
        raise BadInput("E_CHANGED", path, f"case {case}: {change}{more}", "build again")


def compare_configuration(path: Path, manifest: Manifest, **expected: object) -> None:
    """Refuse a cache that was built with other options; those that are None are not compared.

    Raises:
        BadInput: E_CHANGED.
    """
    has = manifest.configuration.to_json()
    asked = {name: value for name, value in expected.items() if value is not None}
    if change := what_changed({"configuration": has}, {"configuration": {**has, **asked}}):
        cure = "build again with the options you want, or open it with those it has"
        raise BadInput("E_CHANGED", path, f"is of another configuration: {change}", cure)
