"""`tomolift predict`: labels of images in their own geometry."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import tyro

from .._training_config import Precision
from ..errors import ConfigError, PredictionError


def predict(
    run_dir: Annotated[Path, tyro.conf.Positional],
    images: Annotated[tuple[Path, ...], tyro.conf.Positional],
    *,
    out: Path,
    overlap: float = 0.5,
    device: str | None = None,
    precision: Precision | None = None,
    threads: int = 0,
    overwrite: bool = False,
) -> int:
    """Label images with a finished run: every slice, on the grid of the image.

    A damaged image costs one line on stderr, and exit status 2 at the end; the others are done.

    Args:
        run_dir: the run's folder, OUT/runs/ARM-foldK-seedN-HASH.
        images: .nii or .nii.gz files, one channel each.
        out: receives one label file an image, under the image's name.
        overlap: share of a 3D window that the next one shows too; 0 is the fastest and labels the
            middle of a volume as the run's evaluation did.
        device: cpu, cuda or cuda:1; CUDA where there is a device.
        precision: auto, fp32 or bf16; that of the run.
        threads: CPU threads.
        overwrite: replace label files that are there.
    """
    _check(images, out)

    from tomolift.data import BadInput

    from ..predict import load_trained, predict_file
    from ..predict._windows import check_overlap

    check_overlap(overlap)
    trained = load_trained(run_dir, device=device, precision=precision, threads=threads)
    out.mkdir(parents=True, exist_ok=True)
    failed = 0
    for image in images:
        try:
            done = predict_file(
                trained, image, out / image.name, overlap=overlap, overwrite=overwrite
            )
            print(done.line())
        except (BadInput, PredictionError, OSError) as error:
            failed += 1
            line = " ".join(str(error).split())
            named = line if str(image) in line else f"{image}: {line}"
            print(f"tomolift: error: {named}", file=sys.stderr)
    if failed:
        print(f"{len(images) - failed} of {len(images)} images labelled", file=sys.stderr)
    return 2 if failed else 0


def _check(images: tuple[Path, ...], out: Path) -> None:
    """Refuse, before anything is loaded, what no image could be done with."""
    if not images:
        raise ConfigError("IMAGE is missing: give one or more .nii or .nii.gz files")
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out}: is a file; give a folder")
    twice = [name for name, count in Counter(image.name for image in images).items() if count > 1]
    if twice:
        raise ConfigError(
            f"IMAGE: two files are called {twice[0]}, and so would be their labels in --out; "
            "label them in two calls"
        )
