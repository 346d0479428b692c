"""Find bit rot: every checksum of a cache, recomputed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ._format import JOURNAL, LABEL_DTYPE, NPY_HEADER_BYTES, CasePaths, crc32, npy_header
from ._journal import damaged_lines
from ._manifest import REBUILD, CachedVolume, check_sizes, read_case, read_manifest, read_signed
from ._verify import Defect
from .errors import BadInput


def check_cache(cache_dir: str | Path) -> tuple[Defect, ...]:
    """Read every byte of a cache and return what differs from its checksums.

    Manifest, journal, records, ``.npy`` headers and voxels are covered: a single flipped bit in
    any of them is found.

    Raises:
        BadInput: the manifest itself is missing or damaged (E_CACHE).

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
    for volume in manifest.volumes.values():
        try:
            check_sizes(path, volume)
            read_case(path, volume, num_classes=len(manifest.label_names))
            record = read_signed(
                CasePaths.of(path, volume.case).record,
                limit=volume.record_bytes,
                crc=volume.record_crc32,
            )
            defects += [
                Defect(volume.case, "E_CACHE", str(problem))
                for problem in _damage(path, volume, record)
            ]
        except BadInput as error:
            defects.append(Defect(volume.case, error.code, str(error)))
    return tuple(defects)


def _damage(cache_dir: Path, volume: CachedVolume, record: dict[str, Any]) -> Iterator[BadInput]:
    paths = CasePaths.of(cache_dir, volume.case)
    for path, dtype, checksums in (
        (paths.image, volume.dtype, record["image"]),
        (paths.label, LABEL_DTYPE, record["label"]),
    ):
        with path.open("rb") as file:
            header = file.read(NPY_HEADER_BYTES)
            if header != npy_header(volume.shape, dtype):
                yield BadInput("E_CACHE", path, "has a damaged .npy header", REBUILD)
            whole = crc32(header)
            slice_bytes = (path.stat().st_size - NPY_HEADER_BYTES) // volume.shape[0]
            for index, expected in enumerate(checksums["slice_crc32"]):
                data = file.read(slice_bytes)
                whole = crc32(data, whole)
                if crc32(data) != expected:
                    yield BadInput("E_CACHE", path, f"slice {index} is damaged", REBUILD)
            if whole != checksums["crc32"]:
                yield BadInput("E_CACHE", path, "is damaged (checksum of the whole)", REBUILD)
