"""`tomolift evaluate`: a finished run again from its weights, or anyone's label files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import tyro

from .._training_config import Precision
from ..errors import ConfigError


def evaluate(
    run_dirs: Annotated[tuple[Path, ...], tyro.conf.Positional] = (),
    *,
    predictions: Path | None = None,
    truth: Path | None = None,
    names: str = "",
    tolerance_mm: float = 1.0,
    surface: bool = True,
    out: Path | None = None,
    device: str | None = None,
    precision: Precision | None = None,
    threads: int = 0,
) -> int:
    """Judge predictions: IoU, Dice, HD95 and NSD per case and class, as CSV and JSON.

    Exit status 1 where a run's weights give other counts than the run kept, 2 where a case could
    not be judged or has no prediction.

    Args:
        run_dirs: finished runs, OUT/runs/ARM-foldK-seedN-HASH: predicted again from their weights
            and compared with what they counted; HD95 and NSD enter their per_case.csv.
        predictions: instead of runs, a folder of .nii or .nii.gz label files.
        truth: with --predictions, the folder of label files of the same names.
        names: with --predictions, the classes' names from 0, such as background,pancreas,tumour.
        tolerance_mm: how far apart two surfaces may lie and still agree (NSD).
        surface: measure HD95 and NSD; needs `pip install 'tomolift-training[surface]'`.
        out: with --predictions, receives per_case.csv and evaluation.json; the predictions' own
            folder by default.
        device: of runs: cpu, cuda or cuda:1; CUDA where there is a device.
        precision: of runs: auto, fp32 or bf16; that of the run.
        threads: CPU threads, of runs.
    """
    if run_dirs and predictions is None and truth is None:
        return _runs(
            run_dirs,
            tolerance_mm=tolerance_mm,
            surface=surface,
            device=device,
            precision=precision,
            threads=threads,
        )
    if run_dirs or predictions is None or truth is None:
        raise ConfigError("evaluate: give RUN_DIR, or both --predictions DIR and --truth DIR")

    from ..evaluation import evaluate_folders, write_evaluation

    evaluation = evaluate_folders(
        predictions,
        truth,
        names=[name.strip() for name in names.split(",")] if names else (),
        tolerance_mm=tolerance_mm,
        surface=surface,
    )
    write_evaluation(evaluation, out or predictions)
    print("\n".join(evaluation.lines()))
    for reason in evaluation.failed.values():
        print(f"tomolift: error: {reason}", file=sys.stderr)
    for cases, lacking in (
        (evaluation.without_prediction, "prediction"),
        (evaluation.without_truth, "truth"),
    ):
        if cases:
            some = ", ".join(cases[:3]) + (", ..." if len(cases) > 3 else "")
            print(f"{len(cases)} cases have no {lacking}: {some}", file=sys.stderr)
    return 2 if evaluation.failed or evaluation.without_prediction else 0


def _runs(
    run_dirs: tuple[Path, ...],
    *,
    tolerance_mm: float,
    surface: bool,
    device: str | None,
    precision: Precision | None,
    threads: int,
) -> int:
    from ..evaluation._run import evaluate_run, write_surfaces
    from ..predict import load_trained

    status = 0
    for run_dir in run_dirs:
        trained = load_trained(run_dir, device=device, precision=precision, threads=threads)
        outcome = evaluate_run(trained, tolerance_mm=tolerance_mm, surface=surface)
        write_surfaces(outcome)
        print(outcome.run.folder)
        print("\n".join(outcome.evaluation.lines()))
        for case, voxels in outcome.differing.items():
            status = 1
            print(
                f"{case}: {voxels} voxels are counted elsewhere than in result.json (another "
                "device, precision or number of threads, or a defect)",
                file=sys.stderr,
            )
    return status
