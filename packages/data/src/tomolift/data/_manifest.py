"""CACHE.json, read back with the distrust that a downloaded file deserves."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ._case_info import CaseInfo
from ._format import (
    FORMAT,
    IMAGE_DTYPES,
    LABEL_DTYPE,
    MANIFEST,
    VERSION,
    CasePaths,
    Configuration,
    crc32,
    is_signed,
    npy_bytes,
)
from ._headers import MAX_SIDE
from ._msd import IGNORE_LABEL, is_case_name
from ._stamps import Stamp, stamp_of
from .errors import BadInput

MAX_MANIFEST_BYTES = 2**28
REBUILD = "build the cache again"


@dataclass(frozen=True)
class CachedVolume:
    """What the manifest says of one volume; ``valid`` slices are those that are no padding."""

    case: str
    shape: tuple[int, int, int]
    dtype: str
    valid: tuple[int, int]
    record_bytes: int
    record_crc32: int


@dataclass(frozen=True)
class Manifest:
    """The contents of CACHE.json; ``volumes`` in the order of ``dataset.json``."""

    task_name: str
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
    path = cache_dir / MANIFEST
    if not path.is_file():
        problem = f"has no {MANIFEST}, so it is no finished cache"
        raise BadInput("E_CACHE", cache_dir, problem, REBUILD)
    content = read_signed(path, limit=MAX_MANIFEST_BYTES)
    if content.get("format") != FORMAT or content.get("version") != VERSION:
        problem = f"format is {content.get('format')!r} {content.get('version')!r}, expected"
        raise BadInput("E_CACHE", path, f"{problem} {FORMAT!r} {VERSION}", REBUILD)
    try:
        return _parse(content)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        problem = f"has an impossible entry ({type(error).__name__}: {error})"
        raise BadInput("E_CACHE", path, problem, REBUILD) from error


def read_case(cache_dir: Path, volume: CachedVolume, *, num_classes: int) -> CaseInfo:
    """Return the checked record of one volume.

    Raises:
        BadInput: E_CACHE.
    """
    path = CasePaths.of(cache_dir, volume.case).record
    content = read_signed(path, limit=volume.record_bytes, crc=volume.record_crc32)
    try:
        info = CaseInfo.from_json(content)
    except (KeyError, TypeError, ValueError) as error:
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
        with path.open("rb") as file:
            data = file.read(limit + 1)
        content = json.loads(data) if len(data) <= limit else None
    except (OSError, ValueError, RecursionError) as error:
        problem = f"cannot be read ({type(error).__name__}: {error})"
        raise BadInput("E_CACHE", path, problem, REBUILD) from error
    if not is_signed(content) or not isinstance(content, dict):
        raise BadInput("E_CACHE", path, "is damaged (checksum)", REBUILD)
    if crc is not None and crc32(data) != crc:
        raise BadInput("E_CACHE", path, "is not the one that CACHE.json speaks of", REBUILD)
    return content


def check_sizes(cache_dir: Path, volume: CachedVolume) -> dict[Path, Stamp]:
    """Return the stamps of a volume's three files.

    Raises:
        BadInput: E_CACHE where one has not its full size: mapping it would crash.
    """
    stamps: dict[Path, Stamp] = {}
    paths = CasePaths.of(cache_dir, volume.case)
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
    if not all(is_case_name(case) for case in entries) or len(entries) < len(content["entries"]):
        raise ValueError("case names")
    status = {case: entry["status"] for case, entry in entries.items()}
    return Manifest(
        task_name=str(content["task_name"]),
        label_names=names,
        configuration=configuration,
        fingerprint=str(content["fingerprint"]),
        volumes={
            case: _volume(entry, configuration)
            for case, entry in entries.items()
            if status[case] == "ok"
        },
        dropped={c: int(entry["depth"]) for c, entry in entries.items() if status[c] == "dropped"},
        failed={c: str(entry["message"]) for c, entry in entries.items() if status[c] == "failed"},
        entries=entries,
    )


def _volume(entry: dict[str, Any], configuration: Configuration) -> CachedVolume:
    depth, height, width = (int(side) for side in entry["shape"])
    first, stop = (int(index) for index in entry["valid"])
    if depth != configuration.depth or not 0 <= first < stop <= depth:
        raise ValueError(f"depth of {entry['case']}")
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise ValueError(f"shape of {entry['case']}")
    if entry["dtype"] not in IMAGE_DTYPES:
        raise ValueError(f"dtype of {entry['case']}")
    return CachedVolume(
        case=entry["case"],
        shape=(depth, height, width),
        dtype=entry["dtype"],
        valid=(first, stop),
        record_bytes=int(entry["record_bytes"]),
        record_crc32=int(entry["record_crc32"]),
    )
