"""``dataset.json``, and whole task folders shown to `verify` and to `build`."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from pathlib import Path
from random import Random
from typing import Any

import nibabel as nib
import numpy as np
from faulting.mutants_gzip import gzip_mutant
from faulting.mutants_json import json_mutant, written
from faulting.mutants_nifti import nifti_mutant
from faulting.mutants_target import Target, Trial, require

from tomolift.data import BadInput, build_cache, check_cache, open_cache, verify_task
from tomolift.data._msd import is_case_name, read_task, source_path
from tomolift.data.errors import CODES

_PATHS = (
    "../x.nii.gz", "/etc/passwd", "imagesTr/../imagesTr/a.nii.gz", "imagesTr", "", ".", "a\0b",
    "imagesTr\\a.nii.gz", "imagesTr/._a.nii.gz", "imagesTr//a.nii.gz", "imagesTr/link.nii.gz",
    "imagesTr/out.nii.gz", "imagesTr/fifo.nii.gz", "imagesTr/round.nii.gz",
    "imagesTr/folder.nii.gz", "imagesTr/a.nii.gz/b.nii.gz", f"imagesTr/{'n' * 300}.nii.gz",
    "p/" * 2000 + "a.nii.gz",
    "imagesTr/a\n.nii.gz", "imagesTr/\ud800.nii.gz", "imagesTr/a.nii", "labelsTr/a.nii.gz",
    "imagesTr/nul.nii.gz", "imagesTr/-rf.nii.gz", "~/a.nii.gz", "imagesTr/a b.nii.gz",
)  # fmt: skip
_LABELS = (
    {"0": "background", "1": "organ"}, {"1": "organ"}, {"0": "x", "00": "y"}, {"-1": "x"},
    {"0": "x", "1": "x"}, {str(key): f"n{key}" for key in range(256)}, {"0": "\u202e"},
)  # fmt: skip


def prepare_dataset_json(folder: Path) -> Trial:
    """Make the trial of ``dataset.json``: the parser, and where its paths may lead."""
    task = folder / "task"
    write_task(task)
    _add_traps(task, folder)
    content = json.loads((task / "dataset.json").read_text())

    def make(random: Random) -> bytes:
        mutant = json_mutant(random, content, hostile=(*_PATHS, *_LABELS))
        return written(random, mutant)

    def look(mutant: bytes) -> None:
        (task / "dataset.json").write_bytes(mutant)
        read = read_task(task)
        require(1 <= len(read.label_names) <= 255, "1 to 255 classes")
        names = [case.name for case in read.cases]
        require(len(set(names)) == len(names) > 0, "cases of different names")
        require(all(is_case_name(name) for name in names), "names that are safe in a cache")
        for case in read.cases:
            for relative in (case.image, case.label):
                path = source_path(read, relative)  # a refused file is a refusal here
                inside = path.resolve().is_relative_to(task.resolve())
                require(inside and path.is_file(), "a file inside the task folder")

    return Trial(make, look)


def prepare_task(folder: Path) -> Trial:
    """Make the trial of a folder with one mutated file: verify and build must agree on it."""
    task, cache = folder / "task", folder / "cache"
    write_task(task)
    sound = {name: (task / name / "b.nii.gz").read_bytes() for name in ("imagesTr", "labelsTr")}

    def make(random: Random) -> tuple[str, bytes]:
        which = random.choice(tuple(sound))
        # mostly on the grid of the other file, or every mutant would stop at its shape
        data = nifti_mutant(random, [gzip.decompress(sound[which])], hostile=0.3, redrawn=0.5)
        return which, gzip_mutant(random, data, hostile=0.1)

    def look(mutant: tuple[str, bytes]) -> None:
        which, data = mutant
        for name, content in sound.items():
            (task / name / "b.nii.gz").write_bytes(data if name == which else content)
        shutil.rmtree(cache, ignore_errors=True)
        report = build_cache(task, cache, depth=3, short="pad", workers=1)
        defects = {defect.code for defect in verify_task(task) if defect.case == "b"}
        told = report.failed.get("b", "")
        require(bool(told) == bool(defects), f"build ({told}) and verify {sorted(defects)} agree")
        require(not check_cache(cache), "a cache without a defect")
        require("a" in open_cache(cache), "the sound case in the cache")
        if told:
            (code,) = (code for code in CODES if told.endswith(f"[{code}]"))
            require(code in defects, f"build says {code}, verify {sorted(defects)}")
            raise BadInput(code, "b", "", "")

    return Trial(make, look)


def write_task(folder: Path, *, depths: tuple[int, ...] = (4, 3, 5)) -> None:
    """Write a sound task of small cases a, b, c, ... with as many slices."""
    random = np.random.default_rng(0)
    entries = []
    for name, depth in zip("abcdefgh", depths, strict=False):
        shape, affine = (4, 3, depth), np.diag([2.0, 3.0, 4.0, 1.0])
        entries.append({"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"})
        grey = random.normal(0, 99, shape).astype(np.float32 if name == "c" else np.int16)
        label = random.integers(0, 3, shape).astype(np.uint8)
        for sub, voxels in (("imagesTr", grey), ("labelsTr", label)):
            (folder / sub).mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(voxels, affine), folder / sub / f"{name}.nii.gz")
    content: dict[str, Any] = {
        "name": "Mutants", "modality": {"0": "CT"}, "numTraining": len(entries),
        "labels": {"0": "background", "1": "organ", "2": "tumour"},
        "training": entries, "test": ["./imagesTs/z.nii.gz"],
    }  # fmt: skip
    (folder / "dataset.json").write_text(json.dumps(content))
    for path in folder.rglob("*"):  # a cache keeps the times of its sources
        os.utime(path, ns=(0, 0))


def _add_traps(task: Path, outside: Path) -> None:
    (outside / "secret.nii.gz").write_bytes(b"secret")
    images = task / "imagesTr"
    (images / "link.nii.gz").symlink_to(images / "a.nii.gz")
    (images / "out.nii.gz").symlink_to(outside / "secret.nii.gz")
    (images / "round.nii.gz").symlink_to(images / "round.nii.gz")
    (images / "folder.nii.gz").mkdir()
    os.mkfifo(images / "fifo.nii.gz")


DATASET_JSON = Target("dataset_json", 0.1, prepare_dataset_json)
TASK = Target("task", 0.002, prepare_task)
