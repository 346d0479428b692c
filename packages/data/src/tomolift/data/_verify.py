"""Find every defect of a task folder without writing anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ._encoding import check_finite, float32_plane, label_plane
from ._headers import NiftiHeader
from ._msd import Case, Task, read_task, source_path
from ._nifti import NiftiStream, open_nifti
from ._pair import check_pair
from .errors import BadInput


@dataclass(frozen=True)
class Defect:
    """One thing that is wrong with a case (or with a cache): a code and a line that tells it."""

    case: str
    code: str
    message: str


def verify_task(task_dir: str | Path) -> tuple[Defect, ...]:
    """Read every listed file of a task to its last byte and return all defects, by case.

    The checks are those of :func:`build_cache`; a case may have a defect in its image, one in
    its label and one in how they fit together.

    Raises:
        BadInput: ``dataset.json`` itself is unusable (E_DATASET_JSON, E_DUPLICATE).

    Example:
        >>> verify_task("Task07_Pancreas")  # doctest: +SKIP
        ()
    """
    task = read_task(task_dir)
    return tuple(defect for case in task.cases for defect in _defects(task, case))


def _defects(task: Task, case: Case) -> Iterator[Defect]:
    headers: list[NiftiHeader] = []
    for relative, look in ((case.image, _look_at_image), (case.label, _look_at_label)):
        try:
            with open_nifti(source_path(task, relative)) as stream:
                headers.append(stream.header)  # a bad voxel hides no misfit of image and label
                look(task, stream)
        except BadInput as error:
            yield Defect(case.name, error.code, str(error))
    if len(headers) == 2:
        try:
            check_pair(headers[0], headers[1], source_path(task, case.label))
        except BadInput as error:
            yield Defect(case.name, error.code, str(error))


def _look_at_image(task: Task, stream: NiftiStream) -> None:
    for index, plane in stream.planes():
        check_finite(plane, plane_index=index, path=stream.path)
        if plane.dtype.itemsize == 8:  # the only type that may be beyond float32
            float32_plane(plane, plane_index=index, path=stream.path)


def _look_at_label(task: Task, stream: NiftiStream) -> None:
    classes = len(task.label_names)
    for index, plane in stream.values():
        label_plane(plane, num_classes=classes, plane_index=index, path=stream.path)
