"""A synthetic MSD task folder: abdominal CT volumes with a pancreas and a tumour, in real files."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._files import make_folder, whole_folder, write_durably
from ._phantom_anatomy import draw_case
from ._phantom_canvas import SLICE_UNITS, UNIT_MM, WIDTH_UNITS
from .errors import BadInput

# raise it when the drawing changes, so that callers who keep phantoms make them again
PHANTOM_VERSION: int = 2
SHORT_EVERY, SHORT_AT = 8, 3  # cases 3, 11, 19, ... have fewer than `depth` slices
HEALTHY_EVERY, HEALTHY_AT = 8, 6  # cases 6, 14, 22, ... have no tumour


def write_phantom(
    out_dir: Path,
    *,
    cases: int = 16,
    seed: int = 0,
    size: int = 96,
    depth: int = 70,
    depth_cues: bool = True,
) -> Path:
    """Write a synthetic MSD task folder: `dataset.json`, `imagesTr` and `labelsTr`.

    The volumes are int16 HU of about 3.15 x 3.15 x 2.8 mm in LPS order, `size` x `size` voxels in
    plane and between 0.86 and 1.29 times `depth` slices; one case in eight has fewer than `depth`
    slices, another in eight no tumour. Labels are 0 background, 1 pancreas, 2 tumour. Bowel loops
    have the pancreas's HU and calibre and differ by their course through depth. A case depends on
    its index, never on how many there are; the same arguments give the same bytes.

    Args:
        out_dir: folder to make; may exist if it is empty. It appears whole or not at all.
        cases: number of cases, at least 1.
        seed: fixes every draw, at least 0.
        size: voxels along x and y, at least 16.
        depth: slices that a reader of the task will keep, at least 8; the anatomy is scaled to it.
        depth_cues: False gives the control phantom: the same anatomy and labels, but a bowel full
            of oral contrast, told from the pancreas within a single slice.

    Returns:
        `out_dir`.

    Raises:
        BadInput: an argument is out of range, or `out_dir` is a file or a folder that is not empty.

    Example:
        >>> from tempfile import mkdtemp
        >>> task = write_phantom(Path(mkdtemp()) / "Task99_Phantom", cases=1, size=32, depth=16)
        >>> sorted(path.name for path in task.iterdir())
        ['dataset.json', 'imagesTr', 'labelsTr']
    """
    for name, value, least in (
        ("cases", cases, 1),
        ("seed", seed, 0),
        ("size", size, 16),
        ("depth", depth, 8),
    ):
        if value < least:
            problem = f"is {value}, expected at least {least}"
            raise BadInput("E_ARGUMENT", name, problem, "raise it")
    target = Path(out_dir).resolve()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BadInput("E_ARGUMENT", out_dir, "is not an empty folder", "name a new one")
    with whole_folder(target) as task:
        for folder in ("imagesTr", "labelsTr"):
            make_folder(task / folder)
        for case in range(cases):
            image, labels = _case_files(case, seed, size, depth, depth_cues)
            write_durably(task / "imagesTr" / _file_name(case), image)
            write_durably(task / "labelsTr" / _file_name(case), labels)
        contents = json.dumps(_task(cases, seed), indent=1) + "\n"
        write_durably(task / "dataset.json", contents.encode())
    return Path(out_dir)


def _file_name(case: int) -> str:
    return f"phantom_{case:03d}.nii.gz"


def _task(cases: int, seed: int) -> dict[str, Any]:
    """The contents of `dataset.json`, with MSD's keys."""
    names = [_file_name(case) for case in range(cases)]
    return {
        "name": "Phantom",
        "description": f"Synthetic abdominal CT with pancreas and tumour, seed {seed}",
        "licence": "CC0-1.0",
        "tensorImageSize": "3D",
        "modality": {"0": "CT"},
        "labels": {"0": "background", "1": "pancreas", "2": "tumour"},
        "numTraining": cases,
        "numTest": 0,
        "training": [{"image": f"./imagesTr/{n}", "label": f"./labelsTr/{n}"} for n in names],
        "test": [],
    }


def _case_files(
    case: int, seed: int, size: int, depth: int, depth_cues: bool
) -> tuple[bytes, bytes]:
    """One case's image and label as the bytes of .nii.gz files."""
    rng = np.random.default_rng([seed, case])
    if case % SHORT_EVERY == SHORT_AT:
        num_slices = depth - max(1, round(depth * rng.uniform(0.06, 0.14)))
    else:
        num_slices = depth + round(depth * rng.uniform(0, 0.28))
    first = (num_slices - depth) // 2  # where a reader's middle `depth` slices begin
    hu, labels = draw_case(
        seed=seed,
        case=case,
        size=size,
        num_slices=num_slices,
        middle=first + (depth - 1) / 2,
        depth=depth,
        tumour=case % HEALTHY_EVERY != HEALTHY_AT,
        depth_cues=depth_cues,
    )
    in_plane = round(UNIT_MM * WIDTH_UNITS / size * rng.uniform(0.93, 1.07), 4)
    through = round(UNIT_MM * SLICE_UNITS * 70 / depth * rng.uniform(0.92, 1.06), 2)
    affine = np.diag([-in_plane, -in_plane, through, 1.0])  # LPS, as scanners store it
    affine[:2, 3] = in_plane * (size - 1) / 2
    affine[2, 3] = -through * (num_slices - 1) / 2
    return _nifti_gz(hu, affine), _nifti_gz(labels, affine)


def _nifti_gz(volume: NDArray[Any], affine: NDArray[np.float64]) -> bytes:
    """A (z, y, x) volume as a NIfTI-1 file in x, y, z order, compressed without a time stamp."""
    import nibabel as nib  # 6 MB that a process that only reads a cache does without

    image = nib.Nifti1Image(volume.transpose(2, 1, 0), affine)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    image.header.set_xyzt_units("mm", "sec")
    compressed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=compressed, compresslevel=6, mtime=0) as out:
        out.write(image.to_bytes())
    return compressed.getvalue()
