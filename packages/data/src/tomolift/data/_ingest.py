"""One case of a task into the three files of a cache: the job of a build worker."""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ._case_info import CaseInfo
from ._depth import DepthPlan, plan_depth
from ._encoding import label_plane
from ._files import VolumeFile, temporary_path
from ._format import LABEL_DTYPE
from ._geometry import Geometry, geometry_of
from ._greys import Greys, Kept, Planes, stream_greys
from ._headers import NiftiHeader
from ._jobs import CaseJob, Ingested
from ._msd import IGNORE_LABEL, source_path
from ._nifti import NiftiStream, open_nifti
from ._pair import check_pair
from ._place import fill, pad
from ._publish import FileRecords, file_record, publish
from ._sources import sources_of
from .errors import BadInput


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

        def to_cache(dtype: str, planes: Planes) -> Kept[VolumeFile]:
            file = _new_volume(job, "image", geometry, plan, dtype, on_failure)
            fill(file, geometry, plan, planes)
            keeps_all = plan.stop - plan.first == depth
            return Kept(file, again=file.slices(*plan.valid) if keeps_all else None)

        labels = _Labels.store(job, label_path, geometry, plan, on_failure)
        file, greys = stream_greys(image_path, to_cache)
        pad(file, plan, greys.pad_value)
        if sources_of(job.task, job.case) != job.sources:
            cure = "build again when nothing writes to it"
            raise BadInput("E_CHANGED", image_path, "changed while it was read", cure)
        files = {"image": file_record(file), "label": file_record(labels.file)}
        info = _case_info(job.case.name, header, geometry, plan, file, labels, greys, files)
        return publish(job, info, files, file, labels.file, plan)


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
            fill(file, geometry, plan, converted(stream))
        pad(file, plan, IGNORE_LABEL)
        first, stop = plan.valid
        counts = np.zeros((plan.depth, classes), np.int64)
        for index, values in enumerate(file.slices(first, stop), start=first):
            counts[index] = _count_classes(values, classes)
        ignored = np.full(plan.depth, math.prod(file.shape[1:]))
        ignored[first:stop] = 0
        lost = foreground - int(counts[:, 1:].sum())
        return cls(file, counts, ignored, lost)


def _count_classes(labels: npt.NDArray[np.uint8], classes: int) -> npt.NDArray[np.int64]:
    """Return how many voxels have each class: nearly all are background, and cheap to leave out."""
    foreground = labels[labels != 0]
    counts = np.bincount(foreground, minlength=classes)
    counts[0] = labels.size - foreground.size
    return counts


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


def _case_info(
    case: str,
    header: NiftiHeader,
    geometry: Geometry,
    plan: DepthPlan,
    file: VolumeFile,
    labels: _Labels,
    greys: Greys,
    files: FileRecords,
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
        spatial=geometry.spatial,
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
        checksums=(files["image"]["crc32"], files["label"]["crc32"]),
    )
