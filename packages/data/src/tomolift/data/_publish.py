"""Give a finished case its names in the cache: two volumes and a record with checksums."""

from __future__ import annotations

import math
import os
from typing import Any

from isal import isal_zlib

from ._case_info import CaseInfo
from ._depth import DepthPlan
from ._files import VolumeFile, remove, write_durably
from ._format import (
    MANIFEST,
    NPY_HEADER_BYTES,
    CasePaths,
    canonical_json,
    crc32,
    npy_bytes,
    npy_header,
    signed,
)
from ._jobs import CaseJob, Ingested
from ._journal import is_intact

FileRecords = dict[str, dict[str, Any]]  # "image" and "label"


def publish(
    job: CaseJob,
    info: CaseInfo,
    files: FileRecords,
    image: VolumeFile,
    label: VolumeFile,
    plan: DepthPlan,
) -> Ingested:
    """Sync and rename the files of a case, its record last, and return its journal fields.

    Whatever is killed in between, a record stands beside the volumes that it describes, and a
    journal entry without its record is not reused. Names carry the key of what they hold, so the
    files of an older cache stay.
    """
    paths = CasePaths.of(job.cache_dir, job.case.name, job.key)
    record = canonical_json(signed({**info.to_json(), **files}))
    for file in (image, label):
        file.sync()  # seconds on a slow disk: before the question whether the build still lives
    if job.builder not in (os.getpid(), os.getppid()):
        # the next build may already be at work with another configuration: leave its files alone
        raise RuntimeError("the build that this worker belongs to is gone")
    fields = {
        "shape": list(info.shape),
        "dtype": info.dtype,
        "valid": list(plan.valid),
        "record_bytes": len(record),
        "record_crc32": crc32(record),
        "notes": _notes(info),
    }
    entry = {**fields, "status": "ok", "case": job.case.name, "key": job.key}
    if not is_intact(job.cache_dir, entry):  # else a build that was killed lacked the line only
        if paths.record.exists():
            # other contents under the same key, by a forged time of change: a reader must not see
            # an old manifest with new volumes, so there is no cache until this build ends
            remove(job.cache_dir / MANIFEST)
            remove(paths.record)
        image.publish(paths.image)
        label.publish(paths.label)
        write_durably(paths.record, record)
    return Ingested("ok", fields)


def file_record(file: VolumeFile) -> dict[str, Any]:
    """Return size and checksums of a finished volume, of the whole file and of every slice."""
    depth = file.shape[0]
    known = file.slice_crc32
    if len(known) < depth:  # planes that cross every slice were written through a map
        known = dict(enumerate(crc32(values.data) for values in file.slices(0, depth)))
    slices = [known[index] for index in range(depth)]
    slice_bytes = math.prod(file.shape[1:]) * file.dtype.itemsize
    whole = crc32(npy_header(file.shape, file.dtype.str))
    for checksum in slices:
        whole = isal_zlib.crc32_combine(whole, checksum, slice_bytes)
    return {
        "bytes": npy_bytes(file.shape, file.dtype.str),
        "header_bytes": NPY_HEADER_BYTES,
        "crc32": whole,
        "slice_crc32": slices,
    }


def _notes(info: CaseInfo) -> list[str]:
    """Return what a careful user wants to know of this volume, in words."""
    notes = []
    if info.permutation[2] != 2:
        notes.append(f"slices run along stored axis {info.permutation[2] + 1} of 3")
    if info.dtype != "<i2":
        notes.append(f"{info.source_dtype} does not fit int16, stored as float32")
    if info.encoding_error:
        notes.append(f"float32 differs from the source by up to {info.encoding_error:.3g}")
    if info.foreground_lost:
        notes.append(f"the crop lost {info.foreground_lost} foreground voxels")
    return notes
