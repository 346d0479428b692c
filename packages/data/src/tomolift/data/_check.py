"""Find bit rot: every checksum of a cache, recomputed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ._check_sources import source_defects
from ._format import JOURNAL, LABEL_DTYPE, NPY_HEADER_BYTES, CasePaths, crc32, npy_header
from ._journal import damaged_lines
from ._manifest import REBUILD, CachedVolume, check_sizes, read_case, read_manifest, read_signed
from ._verify import Defect
from .errors import BadInput

REPLACE = "delete the file and build the cache again"  # a build trusts files of full size


def check_cache(
    cache_dir: str | Path, *, sources: str | Path | None = None, workers: int = 1
) -> tuple[Defect, ...]:
    """Read every byte of a cache and return what differs from its checksums.

    Manifest, journal, records, ``.npy`` headers and voxels are covered: a single flipped bit in
    any of them is found.

    Args:
        cache_dir: what :func:`build_cache` made; only read.
        sources: the task folder. Where given, its files are read to their end and decoded again,
            too, and every case that is not what the cache holds is a defect: other size, time or
            trailer, other contents of a slice or of the header, no longer listed or new. It
            takes the time of a build, and room for a case in the system's temporary folder.
        workers: processes that decode ``sources``.

    Raises:
        BadInput: the manifest itself is missing or damaged (E_CACHE), or ``sources`` is no task
            folder (E_DATASET_JSON, E_DUPLICATE).
        DiskFailure: the system's temporary folder cannot be written.

    Example:
        >>> check_cache("cache")  # doctest: +SKIP
        ()
    """
    path = Path(cache_dir)
    manifest = read_manifest(path)
    defects = [
        Defect("", "E_CACHE", f"{path / JOURNAL}: line {line} is damaged; {REBUILD} [E_CACHE]")
        for line in damaged_lines(path)
    ]
    classes = len(manifest.label_names)
    for volume in manifest.volumes.values():
        defects += [
            Defect(volume.case, problem.code, str(problem))
            for problem in _problems(path, volume, classes)
        ]
    if sources is not None:
        defects += source_defects(path, manifest, Path(sources), workers=workers)
    return tuple(defects)


def _problems(cache_dir: Path, volume: CachedVolume, num_classes: int) -> Iterator[BadInput]:
    record_path = CasePaths.of(cache_dir, volume.case, volume.key).record
    try:
        check_sizes(cache_dir, volume)
        read_case(cache_dir, volume, num_classes=num_classes)
        record = read_signed(record_path, limit=volume.record_bytes, crc=volume.record_crc32)
        yield from _damage(cache_dir, volume, record)
    except BadInput as error:
        yield error
    except OSError as error:  # a bad sector costs its case only
        at = error.filename or record_path.parent
        yield BadInput("E_CACHE", at, f"cannot be read ({error.strerror})", REBUILD)


def _damage(cache_dir: Path, volume: CachedVolume, record: dict[str, Any]) -> Iterator[BadInput]:
    paths = CasePaths.of(cache_dir, volume.case, volume.key)
    for path, dtype, checksums in (
        (paths.image, volume.dtype, record["image"]),
        (paths.label, LABEL_DTYPE, record["label"]),
    ):
        with path.open("rb") as file:
            header = file.read(NPY_HEADER_BYTES)
            if header != npy_header(volume.shape, dtype):
                yield BadInput("E_CACHE", path, "has a damaged .npy header", REPLACE)
            whole = crc32(header)
            slice_bytes = (path.stat().st_size - NPY_HEADER_BYTES) // volume.shape[0]
            for index, expected in enumerate(checksums["slice_crc32"]):
                data = file.read(slice_bytes)
                whole = crc32(data, whole)
                if crc32(data) != expected:
                    yield BadInput("E_CACHE", path, f"slice {index} is damaged", REPLACE)
            if whole != checksums["crc32"]:
                yield BadInput("E_CACHE", path, "is damaged (checksum of the whole)", REPLACE)
