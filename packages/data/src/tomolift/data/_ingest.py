"""One case of a task into the three files of a cache: the job of a build worker."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ._case_info import CaseInfo
from ._depth import DepthPlan, plan_depth
from ._encoding import label_plane
from ._files import VolumeFile, remove, temporary_path, write_durably
from ._format import (
    LABEL_DTYPE,
    MANIFEST,
    NPY_HEADER_BYTES,
    CasePaths,
    Configuration,
    canonical_json,
    crc32,
    npy_bytes,
    npy_header,
    signed,
)
from ._geometry import Geometry, geometry_of, largest_displacement_mm
from ._greys import Greys, Planes, stream_greys
from ._headers import NiftiHeader
from ._msd import IGNORE_LABEL, Case, Task, source_path
from ._nifti import NiftiStream, open_nifti
from ._sources import Sources, sources_of
from .errors import BadInput

MISPLACED = 0.01  # of the smallest voxel side: float32 headers are good to about 1e-5 of it


@dataclass(frozen=True)
class CaseJob:
    """Everything that a worker needs to ingest one case; ``builder`` is the build's process id."""

    task: Task
    case: Case
    sources: Sources
    configuration: Configuration
    cache_dir: Path
    builder: int


@dataclass(frozen=True)
class Ingested:
    """What became of a case: ``status`` ok, dropped or failed, and the journal's other fields."""

    status: str
    fields: dict[str, Any] = field(default_factory=dict)


def ingest_case(job: CaseJob) -> Ingested:
    """Check, convert and store one case; what is wrong with it is told, not raised.

    I/O errors of the cache's own disk are raised: they are no property of the case.
    """
    try:
        return _ingest(job)
    except BadInput as error:
        prefix = f"{job.task.folder}/"
        where = error.where.removeprefix(prefix)
        relative = BadInput(error.code, where, error.problem, error.cure)
        return Ingested("failed", {"code": error.code, "message": str(relative)})


def check_pair(image: NiftiHeader, label: NiftiHeader, label_path: Path) -> None:
    """Refuse a label that is not on the image's grid.

    Raises:
        BadInput: E_SHAPE or E_AFFINE.
    """
    cure = "re-export the label on the image's grid"
    if image.shape != label.shape:
        problem = f"label shape {label.shape} differs from image shape {image.shape}"
        raise BadInput("E_SHAPE", label_path, problem, cure)
    apart = largest_displacement_mm(image, label)
    smallest = float(np.linalg.norm(image.affine[:3, :3], axis=0).min())
    if apart > MISPLACED * smallest:
        problem = f"label and image affines lie {apart:.3g} mm apart (voxel {smallest:.3g} mm)"
        raise BadInput("E_AFFINE", label_path, problem, cure)


def _ingest(job: CaseJob) -> Ingested:
    image_path = source_path(job.task, job.case.image)
    label_path = source_path(job.task, job.case.label)
    with open_nifti(image_path) as image, open_nifti(label_path) as label:
        header = image.header
        check_pair(header, label.header, label_path)
    geometry = geometry_of(header, axes=job.configuration.axes)
    depth = geometry.shape[0]
    plan = plan_depth(depth, depth=job.configuration.depth, short=job.configuration.short)
    if plan is None:
        return Ingested("dropped", {"depth": depth})
    with ExitStack() as on_failure:

        def to_cache(dtype: str, planes: Planes) -> VolumeFile:
            file = _new_volume(job, "image", geometry, plan, dtype, on_failure)
            _fill(file, geometry, plan, planes)
            return file

        labels = _Labels.store(job, label_path, geometry, plan, on_failure)
        file, greys = stream_greys(image_path, to_cache)
        _pad(file, plan, greys.pad_value)
        if sources_of(job.task, job.case) != job.sources:
            cure = "build again when nothing writes to it"
            raise BadInput("E_CHANGED", image_path, "changed while it was read", cure)
        info = _case_info(job.case.name, header, geometry, plan, file, labels, greys)
        return _publish(job, info, file, labels, plan)


@dataclass(frozen=True, eq=False)
class _Labels:
    file: VolumeFile
    counts: npt.NDArray[np.int64]
    ignored: npt.NDArray[np.int64]
    foreground_lost: int

    @classmethod
    def store(
        cls, job: CaseJob, path: Path, geometry: Geometry, plan: DepthPlan, on_failure: ExitStack
    ) -> _Labels:
        classes = len(job.task.label_names)
        foreground = 0

        def converted(stream: NiftiStream) -> Planes:
            nonlocal foreground
            for index, plane in stream.values():
                labels = label_plane(plane, num_classes=classes, plane_index=index, path=path)
                foreground += int(np.count_nonzero(labels))
                yield index, labels

        file = _new_volume(job, "label", geometry, plan, LABEL_DTYPE, on_failure)
        with open_nifti(path) as stream:
            _fill(file, geometry, plan, converted(stream))
        _pad(file, plan, IGNORE_LABEL)
        counts = np.array(
            [
                np.bincount(file.read_slice(index).ravel(), minlength=IGNORE_LABEL + 1)
                for index in range(plan.depth)
            ],
            np.int64,
        )
        lost = foreground - counts[:, 1:classes].sum()
        return cls(file, counts[:, :classes], counts[:, IGNORE_LABEL], int(lost))


def _new_volume(
    job: CaseJob,
    kind: str,
    geometry: Geometry,
    plan: DepthPlan,
    dtype: str,
    on_failure: ExitStack,
) -> VolumeFile:
    temporary = temporary_path(job.cache_dir / "tmp", f"{job.case.name}.{kind}")
    file = VolumeFile(temporary, (plan.depth, *geometry.shape[1:]), dtype)
    on_failure.callback(file.discard)  # after publishing there is nothing left to discard
    return file


def _fill(file: VolumeFile, geometry: Geometry, plan: DepthPlan, planes: Planes) -> None:
    """Put stored planes where they belong in (D, H, W), leaving out what the plan crops."""
    if geometry.slices_are_stored_planes:
        for index, plane in planes:
            source = geometry.slice_index(index)
            if plan.first <= source < plan.stop:
                file.write_slice(source - plan.z0, geometry.plane_to_slice(plane))
        return
    target = geometry.stored_view(file.shared_map()[slice(*plan.valid)])
    first, stop = plan.first, plan.stop
    if geometry.flips[2]:
        first, stop = geometry.shape[0] - stop, geometry.shape[0] - first
    columns = slice(first, stop)
    window = (columns, slice(None)) if geometry.permutation[2] == 1 else (slice(None), columns)
    for index, plane in planes:
        target[index] = plane[window]


def _pad(file: VolumeFile, plan: DepthPlan, value: float) -> None:
    padding = np.full(file.shape[1:], value, file.dtype)
    first, stop = plan.valid
    for index in [*range(first), *range(stop, plan.depth)]:
        file.write_slice(index, padding)


def _case_info(
    case: str,
    header: NiftiHeader,
    geometry: Geometry,
    plan: DepthPlan,
    file: VolumeFile,
    labels: _Labels,
    greys: Greys,
) -> CaseInfo:
    affine = geometry.affine.copy()
    affine[:3, 3] += affine[:3, 2] * plan.z0
    return CaseInfo(
        case=case,
        shape=file.shape,
        affine=affine,
        source_affine=geometry.source_affine,
        zooms_mm=geometry.zooms_mm,
        source_shape=geometry.source_shape,
        source_dtype=header.dtype.name,
        permutation=geometry.permutation,
        flips=geometry.flips,
        sform_code=geometry.sform_code,
        qform_code=geometry.qform_code,
        z0=plan.z0,
        dtype=file.dtype.str,
        slope=header.slope,
        intercept=header.intercept,
        encoding_error=greys.encoding_error,
        statistics=greys.statistics,
        pad_value=greys.pad_value,
        label_counts=labels.counts,
        ignored_per_slice=labels.ignored,
        foreground_lost=labels.foreground_lost,
    )


def _publish(
    job: CaseJob, info: CaseInfo, file: VolumeFile, labels: _Labels, plan: DepthPlan
) -> Ingested:
    paths = CasePaths.of(job.cache_dir, job.case.name)
    content = {**info.to_json(), "image": _checksums(file), "label": _checksums(labels.file)}
    record = canonical_json(signed(content))
    if job.builder not in (os.getpid(), os.getppid()):
        # the next build may already be at work with another configuration: leave its files alone
        raise RuntimeError("the build that this worker belongs to is gone")
    if paths.record.exists():
        # a reader must never see an old manifest with new volumes: no cache until this build ends
        remove(job.cache_dir / MANIFEST)
    file.publish(paths.image)
    labels.file.publish(paths.label)
    write_durably(paths.record, record)
    fields = {
        "shape": list(info.shape),
        "dtype": info.dtype,
        "valid": list(plan.valid),
        "record_bytes": len(record),
        "record_crc32": crc32(record),
        "notes": _notes(info),
    }
    return Ingested("ok", fields)


def _checksums(file: VolumeFile) -> dict[str, Any]:
    whole = crc32(npy_header(file.shape, file.dtype.str))
    slices = []
    for index in range(file.shape[0]):
        data = file.read_slice(index).tobytes()
        slices.append(crc32(data))
        whole = crc32(data, whole)
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
