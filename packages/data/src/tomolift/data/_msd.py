"""A task folder of the Medical Segmentation Decathlon: ``dataset.json`` and its cases."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from .errors import BadInput, quoted

IGNORE_LABEL = 255
MAX_JSON_BYTES = 2**24
_CASE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,119}")
_FIX = "correct dataset.json or download the task again"


@dataclass(frozen=True)
class Case:
    """One labelled volume: its name and its two files, relative to the task folder."""

    name: str
    image: str
    label: str


@dataclass(frozen=True)
class Task:
    """A task folder as its ``dataset.json`` tells it; nothing but that file has been read.

    ``label_names[k]`` is the name of class ``k``; ``cases`` stand in the file's order.
    """

    folder: Path
    name: str
    label_names: tuple[str, ...]
    cases: tuple[Case, ...]


def read_task(task_dir: str | Path) -> Task:
    """Return the task in ``task_dir``; the list of files, not ``numTraining``, is the truth.

    Raises:
        BadInput: E_DATASET_JSON or E_DUPLICATE.
    """
    folder = Path(task_dir)
    path = folder / "dataset.json"
    content = _load(path)
    return Task(
        folder=folder,
        name=_text(content.get("name", folder.name), "name", path),
        label_names=_label_names(content.get("labels"), path),
        cases=_cases(content.get("training"), path),
    )


def source_path(task: Task, relative: str) -> Path:
    """Return where a listed file lies, refusing every path that leaves the task folder.

    Raises:
        BadInput: E_PATH or E_MISSING.
    """
    place = PurePosixPath(relative)
    path = task.folder / place
    if place.is_absolute() or ".." in place.parts or "\0" in relative or "\\" in relative:
        raise BadInput("E_PATH", relative, "leaves the task folder", _FIX)
    try:
        real = path.resolve(strict=True)
        is_file = real.is_file()
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no possible path"
        cure = "put the file there or take its entry out of dataset.json"
        raise BadInput("E_MISSING", path, f"cannot be opened ({reason})", cure) from error
    if not real.is_relative_to(task.folder.resolve()):
        raise BadInput("E_PATH", path, "is a link out of the task folder", "copy the file in")
    if not is_file:
        raise BadInput("E_PATH", path, "is no regular file", "put a NIfTI file there")
    return path


def _load(path: Path) -> dict[str, Any]:
    if not path.is_file():
        cure = "name a folder in MSD layout (dataset.json, imagesTr, labelsTr)"
        raise BadInput("E_DATASET_JSON", path, "is not there", cure)
    try:
        data = path.read_bytes() if path.stat().st_size <= MAX_JSON_BYTES else None
        content = None if data is None else json.loads(data.decode("utf-8-sig"))
    except (OSError, RecursionError, ValueError) as error:
        problem = f"cannot be read as JSON ({type(error).__name__}: {error})"
        raise BadInput("E_DATASET_JSON", path, problem, _FIX) from error
    if data is None:
        raise BadInput("E_DATASET_JSON", path, "is larger than 16 MiB", _FIX)
    if not isinstance(content, dict):
        raise BadInput("E_DATASET_JSON", path, "is no JSON object", _FIX)
    return content


def _label_names(labels: object, path: Path) -> tuple[str, ...]:
    if not isinstance(labels, dict) or not labels:
        raise BadInput("E_DATASET_JSON", path, "has no object 'labels'", _FIX)
    for key in labels:
        if not re.fullmatch(r"[0-9]{1,3}", key):
            problem = f"label key {quoted(key)} is no class number"
            raise BadInput("E_DATASET_JSON", path, problem, _FIX)
    by_class = {int(key): name for key, name in labels.items()}
    if IGNORE_LABEL in by_class:
        problem = f"uses class {IGNORE_LABEL}, which marks ignored voxels"
        raise BadInput("E_DATASET_JSON", path, problem, "renumber the classes from 0")
    if sorted(by_class) != list(range(len(labels))):
        problem = f"classes are {sorted(by_class)}, expected 0, 1, 2, ... without gaps"
        raise BadInput("E_DATASET_JSON", path, problem, "renumber the classes from 0")
    names = tuple(_text(by_class[index], f"label {index}", path) for index in sorted(by_class))
    for index, name in enumerate(names):
        if not name.isprintable() or name.isspace():  # names reach terminals, tables and files
            problem = f"label {index} is {quoted(name)}, expected printable text"
            raise BadInput("E_DATASET_JSON", path, problem, _FIX)
        if name in names[:index]:
            problem = f"labels {names.index(name)} and {index} are both {quoted(name)}"
            raise BadInput("E_DATASET_JSON", path, problem, "give every class its own name")
    return names


def _cases(entries: object, path: Path) -> tuple[Case, ...]:
    if not isinstance(entries, list):
        raise BadInput("E_DATASET_JSON", path, "has no list 'training'", _FIX)
    cases: list[Case] = []
    seen: set[str] = set()
    for entry in entries:
        if not isinstance(entry, dict):
            raise BadInput("E_DATASET_JSON", path, f"entry {quoted(entry)} is no object", _FIX)
        image = _text(entry.get("image"), "image of an entry", path)
        label = _text(entry.get("label"), "label of an entry", path)
        if PurePosixPath(image).name.startswith("._"):  # macOS resource forks, packed by accident
            continue
        case = Case(_case_name(image, path), image, label)
        keys = {f"case {case.name}", *(str(PurePosixPath(file)) for file in (image, label))}
        if repeated := sorted(seen & keys) or (["image = label"] if len(keys) < 3 else []):
            raise BadInput("E_DUPLICATE", path, f"lists {repeated[0]} twice", _FIX)
        seen |= keys
        cases.append(case)
    if not cases:
        raise BadInput("E_DATASET_JSON", path, "lists no training case", _FIX)
    return tuple(cases)


def _case_name(image: str, path: Path) -> str:
    name = PurePosixPath(image).name.removesuffix(".gz").removesuffix(".nii")
    if not _CASE_NAME.fullmatch(name) or not image.endswith((".nii", ".nii.gz")):
        problem = f"image {quoted(image)} has no plain name ending in .nii or .nii.gz"
        raise BadInput("E_DATASET_JSON", path, problem, "rename it: letters, digits, . _ + -")
    return name


def is_case_name(text: object) -> bool:
    """Return whether ``text`` is safe as a file name inside a cache."""
    return isinstance(text, str) and _CASE_NAME.fullmatch(text) is not None


def _text(value: object, what: str, path: Path) -> str:
    if not isinstance(value, str) or not value or len(value) > 4096:
        raise BadInput("E_DATASET_JSON", path, f"{what} is {quoted(value)}, expected text", _FIX)
    return value
