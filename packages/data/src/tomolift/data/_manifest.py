"""CACHE.json, read back with the distrust that a downloaded file deserves."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ._case_info import CaseInfo
from ._entry_form import is_sound_entry
from ._format import (
    FORMAT,
    LABEL_DTYPE,
    MANIFEST,
    VERSION,
    CasePaths,
    Configuration,
    crc32,
    is_signed,
    npy_bytes,
)
from ._msd import IGNORE_LABEL
from ._record_form import check_record
from ._stamps import Stamp, stamp_of, was_rebuilt
from .errors import BadInput

MAX_MANIFEST_BYTES = 2**28
REBUILD = "build the cache again"
READABLE = "get the right to read it, or look at the disk or network that holds it"
# what picking numbers out of a document raises where it has not the expected form
_IMPOSSIBLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


@dataclass(frozen=True)
class CachedVolume:
    """What the manifest says of one volume; ``valid`` slices are those that are no padding."""

    case: str
    key: str
    shape: tuple[int, int, int]
    dtype: str
    valid: tuple[int, int]
    record_bytes: int
    record_crc32: int


@dataclass(frozen=True)
class Manifest:
    """The contents of CACHE.json; ``volumes`` in the order of ``dataset.json``.

    ``whole_task``: the cache was built of every case that ``dataset.json`` listed.
    """

    task_name: str
    whole_task: bool
    label_names: tuple[str, ...]
    configuration: Configuration
    fingerprint: str
    volumes: dict[str, CachedVolume]
    dropped: dict[str, int]
    failed: dict[str, str]
    entries: dict[str, dict[str, Any]]


def read_manifest(cache_dir: Path) -> Manifest:
    """Return the checked manifest of a cache.

    Raises:
        BadInput: E_CACHE.
    """
    return parse_manifest(manifest_bytes(cache_dir), cache_dir)


def manifest_bytes(cache_dir: Path) -> bytes:
    """Return the manifest of a cache as it stands on disk.

    Raises:
        BadInput: E_CACHE: there is none, it cannot be read, or it is larger than any.
    """
    path = cache_dir / MANIFEST
    try:
        return _bytes_of(path, limit=MAX_MANIFEST_BYTES)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _no_cache(cache_dir) from error
    except OSError as error:
        raise BadInput("E_CACHE", path, f"cannot be read ({error.strerror})", READABLE) from error


def parse_manifest(data: bytes, cache_dir: Path) -> Manifest:
    """Return the checked contents of a manifest.

    Raises:
        BadInput: E_CACHE.
    """
    path = cache_dir / MANIFEST
    content = _signed_content(data, path)
    if content.get("format") != FORMAT or content.get("version") != VERSION:
        problem = f"format is {content.get('format')!r} {content.get('version')!r}, expected"
        raise BadInput("E_CACHE", path, f"{problem} {FORMAT!r} {VERSION}", REBUILD)
    try:
        return _parse(content)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        problem = f"has an impossible entry ({type(error).__name__}: {error})"
        raise BadInput("E_CACHE", path, problem, REBUILD) from error


def _no_cache(cache_dir: Path) -> BadInput:
    from ._journal import known_entries  # readers of a finished cache need none of its imports

    if not cache_dir.is_dir():
        cure = "name a folder that `build` made"
        return BadInput("E_CACHE", cache_dir, "is no folder", cure)
    known = known_entries(cache_dir).values()
    if volumes := sum(entries[-1]["status"] == "ok" for entries in known):
        problem = f"is unfinished (volumes so far: {volumes}): {MANIFEST} is not there"
        cure = "wait for the builds that are at work, then build again, without --share"
        return BadInput("E_CACHE", cache_dir, problem, cure)
    problem = f"has no {MANIFEST}, so it is no finished cache"
    return BadInput("E_CACHE", cache_dir, problem, REBUILD)


def read_case(cache_dir: Path, volume: CachedVolume, *, num_classes: int) -> CaseInfo:
    """Return the checked record of one volume.

    Raises:
        BadInput: E_CACHE.
    """
    path = CasePaths.of(cache_dir, volume.case, volume.key).record
    content = read_signed(path, limit=volume.record_bytes, crc=volume.record_crc32)
    try:
        info = CaseInfo.from_json(content)
        check_record(content, info)
    except _IMPOSSIBLE as error:
        problem = f"has an impossible field ({type(error).__name__}: {error})"
        raise BadInput("E_CACHE", path, problem, REBUILD) from error
    same = (info.case, info.shape, info.dtype) == (volume.case, volume.shape, volume.dtype)
    if not same or info.label_counts.shape[1] != num_classes:
        raise BadInput("E_CACHE", path, "does not match CACHE.json", REBUILD)
    return info


def read_signed(path: Path, *, limit: int, crc: int | None = None) -> dict[str, Any]:
    """Return a JSON object whose checksum is right, of at most ``limit`` bytes.

    Raises:
        BadInput: E_CACHE.
    """
    try:
        data = _bytes_of(path, limit=limit)
    except FileNotFoundError as error:  # the end of a build has removed it just now
        raise was_rebuilt(path) from error
    except OSError as error:
        raise BadInput("E_CACHE", path, f"cannot be read ({error.strerror})", REBUILD) from error
    content = _signed_content(data, path)
    if crc is not None and crc32(data) != crc:
        raise BadInput("E_CACHE", path, "is not the one that CACHE.json speaks of", REBUILD)
    return content


def _bytes_of(path: Path, *, limit: int) -> bytes:
    if path.stat().st_size > limit:
        raise BadInput("E_CACHE", path, f"is larger than {limit} bytes", REBUILD)
    with path.open("rb") as file:
        return file.read(limit)


def _signed_content(data: bytes, path: Path) -> dict[str, Any]:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        problem = f"cannot be read ({type(error).__name__}: {error})"
        raise BadInput("E_CACHE", path, problem, REBUILD) from error
    if not is_signed(content) or not isinstance(content, dict):
        raise BadInput("E_CACHE", path, "is damaged (checksum)", REBUILD)
    return content


def check_sizes(cache_dir: Path, volume: CachedVolume) -> dict[Path, Stamp]:
    """Return the stamps of a volume's three files.

    Raises:
        BadInput: E_CACHE where one has not its full size: mapping it would crash.
    """
    stamps: dict[Path, Stamp] = {}
    paths = CasePaths.of(cache_dir, volume.case, volume.key)
    for path, expected in (
        (paths.image, npy_bytes(volume.shape, volume.dtype)),
        (paths.label, npy_bytes(volume.shape, LABEL_DTYPE)),
        (paths.record, volume.record_bytes),
    ):
        try:
            status = path.stat()
        except OSError as error:
            raise BadInput("E_CACHE", path, f"is gone ({error.strerror})", REBUILD) from error
        if status.st_size != expected:
            problem = f"has {status.st_size} bytes, expected {expected}"
            raise BadInput("E_CACHE", path, problem, REBUILD)
        stamps[path] = stamp_of(status)
    return stamps


def _parse(content: dict[str, Any]) -> Manifest:
    configuration = Configuration(**content["configuration"])
    names = tuple(str(name) for name in content["label_names"])
    entries = {entry["case"]: entry for entry in content["entries"]}
    if content["ignore_label"] != IGNORE_LABEL or not 1 <= len(names) <= IGNORE_LABEL:
        raise ValueError("labels")
    if len(entries) < len(content["entries"]) or not all(map(is_sound_entry, entries.values())):
        raise ValueError("entries")
    status = {case: entry["status"] for case, entry in entries.items()}
    return Manifest(
        task_name=str(content["task_name"]),
        whole_task=bool(content["whole_task"]),
        label_names=names,
        configuration=configuration,
        fingerprint=str(content["fingerprint"]),
        volumes={
            case: _volume(entry, configuration)
            for case, entry in entries.items()
            if status[case] == "ok"
        },
        dropped={c: entry["depth"] for c, entry in entries.items() if status[c] == "dropped"},
        failed={c: entry["message"] for c, entry in entries.items() if status[c] == "failed"},
        entries=entries,
    )


def _volume(entry: dict[str, Any], configuration: Configuration) -> CachedVolume:
    depth, height, width = entry["shape"]
    first, stop = entry["valid"]
    if depth != configuration.depth:
        raise ValueError(f"depth of {entry['case']}")
    return CachedVolume(
        case=entry["case"],
        key=entry["key"],
        shape=(depth, height, width),
        dtype=entry["dtype"],
        valid=(first, stop),
        record_bytes=entry["record_bytes"],
        record_crc32=entry["record_crc32"],
    )
