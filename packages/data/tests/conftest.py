"""Small tasks in MSD layout, written with nibabel, which the package itself does not write with."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

REPOSITORY = Path(__file__).parents[3]
SPACING = np.diag([2.0, 3.0, 4.0, 1.0])


def write_nifti(
    path: Path, array: np.ndarray[Any, Any], *, affine: np.ndarray[Any, Any] = SPACING
) -> Path:
    """Write (x, y, z) ``array`` in its own dtype."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(array, affine, dtype=array.dtype)
    nib.save(image, path)
    return path


@dataclass
class TaskFolder:
    """A task folder in the making: add cases, then read it."""

    folder: Path
    labels: Mapping[str, str] = field(
        default_factory=lambda: {"0": "background", "1": "organ", "2": "tumour"}
    )
    entries: list[dict[str, str]] = field(default_factory=list)

    def add(
        self,
        name: str,
        image: np.ndarray[Any, Any] | None = None,
        label: np.ndarray[Any, Any] | None = None,
        *,
        shape: tuple[int, int, int] = (7, 6, 5),
        seed: int = 0,
        affine: np.ndarray[Any, Any] = SPACING,
        label_affine: np.ndarray[Any, Any] | None = None,
    ) -> None:
        generator = np.random.default_rng(seed)
        if image is None:
            image = generator.integers(-1000, 1000, shape).astype(np.int16)
        if label is None:
            label = generator.integers(0, 3, image.shape[:3]).astype(np.uint8)
        write_nifti(self.image(name), image, affine=affine)
        write_nifti(
            self.label(name), label, affine=affine if label_affine is None else label_affine
        )
        self.list(name)

    def list(self, name: str) -> None:
        image, label = f"./imagesTr/{name}.nii.gz", f"./labelsTr/{name}.nii.gz"
        self.entries.append({"image": image, "label": label})
        self.write()

    def write(self, **changes: Any) -> None:
        content = {"name": "Test", "labels": self.labels, "training": self.entries, **changes}
        self.folder.mkdir(exist_ok=True)
        (self.folder / "dataset.json").write_text(json.dumps(content))

    def image(self, name: str) -> Path:
        return self.folder / "imagesTr" / f"{name}.nii.gz"

    def label(self, name: str) -> Path:
        return self.folder / "labelsTr" / f"{name}.nii.gz"


def damage_case(task: TaskFolder, code: str, name: str) -> None:
    """Spoil one case so that it is quarantined with ``code`` (all codes: test_quarantine.py)."""
    image = task.image(name)
    packed = image.read_bytes()
    if code == "E_GZIP":
        image.write_bytes(b"<html>404</html>")
    elif code == "E_GZIP_CRC":
        image.write_bytes(packed[:-5] + bytes([packed[-5] ^ 1]) + packed[-4:])
    elif code == "E_LABEL":
        write_nifti(task.label(name), np.full((7, 6, 5), 3, np.uint8))
    else:
        raise ValueError(f"no damage here gives {code}")


@pytest.fixture
def task(tmp_path: Path) -> TaskFolder:
    return TaskFolder(tmp_path / "task")


@pytest.fixture
def save_nifti() -> Callable[..., Path]:
    return write_nifti


@pytest.fixture(scope="session")
def damage() -> Callable[[TaskFolder, str, str], None]:
    return damage_case


@pytest.fixture
def nifti_bytes(tmp_path: Path) -> bytes:
    """A sound uncompressed int16 NIfTI-1 of shape (4, 3, 2)."""
    array = np.arange(24, dtype=np.int16).reshape(4, 3, 2)
    return write_nifti(tmp_path / "sound.nii", array).read_bytes()


@pytest.fixture(scope="session")
def task04() -> Path:
    shared = Path(os.environ.get("TOMOLIFT_SHARED", REPOSITORY / ".." / "shared"))
    folder = shared / "data" / "Task04_Hippocampus"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there: real data are not part of the project")
    return folder


@pytest.fixture(scope="session")
def folder_bytes() -> Callable[[Path], dict[str, bytes]]:
    """All files of a folder by relative path."""

    def read(folder: Path) -> dict[str, bytes]:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}

    return read
