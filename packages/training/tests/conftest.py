"""A small cache of blobs for small networks, and the tables of a comparison without any."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tomolift import data


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> data.Cache:
    """Five phantom volumes of 32 x 32 in 16 slices, of which one in eight is shorter."""
    folder = tmp_path_factory.mktemp("cache")
    task: Path = data.write_phantom(folder / "task", cases=5, size=32, depth=16)
    data.build_cache(task, folder / "cache", depth=16, short="pad", workers=1)
    return data.open_cache(folder / "cache")


@pytest.fixture(scope="session")
def comparison_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The CSV files of 5 arms on 10 cases in 2 folds under 2 seeds; averaging is ahead.

    Every case has 1,000 voxels in 3 classes; case_9 has no tumour, which nobody predicts there.
    """
    folder = tmp_path_factory.mktemp("comparison")
    generator = np.random.default_rng(0)
    cases, epochs = [], []
    for arm, recall in {
        "background": 0.0, "2d": 0.5, "random": 0.4, "average": 0.7, "scaling": 0.69,
    }.items():  # fmt: skip
        for seed in range(2):
            for index in range(10):
                where = {"arm": arm, "fold": index % 2, "seed": seed, "case": f"case_{index}"}
                cases += [where | cells for cells in _case_lines(generator, recall, index)]
            for fold in range(2) if recall else ():
                where = {"arm": arm, "fold": fold, "seed": seed, "training_cases": 5}
                epochs += [where | cells for cells in _epoch_lines(arm, fold, seed, recall)]
    _write(folder / "per_case.csv", cases)
    _write(folder / "epochs.csv", epochs)
    return folder


def _case_lines(generator: np.random.Generator, recall: float, index: int) -> list[dict[str, Any]]:
    sizes = {"pancreas": 80 + 4 * index, "tumour": 20 if index != 9 else 0}
    hits = {name: int(generator.binomial(size, recall)) for name, size in sizes.items()}
    missed = sum(sizes.values()) - sum(hits.values())
    background = 1000 - sum(sizes.values())
    lines = [_line("background", background, background, missed)]
    return lines + [_line(name, sizes[name], hits[name], 0) for name in sizes]


def _line(name: str, voxels: int, hit: int, false_alarm: int) -> dict[str, Any]:
    return {
        "class": name,
        "voxels": voxels,
        "true_positive": hit,
        "false_positive": false_alarm,
        "false_negative": voxels - hit,
    }


def _epoch_lines(arm: str, fold: int, seed: int, recall: float) -> list[dict[str, Any]]:
    """Four epochs, the IoU growing to `recall` in steps, a little later in the second seed."""
    return [
        {
            "run": f"{arm}-fold{fold}-seed{seed}-0123abcd",
            "epoch": epoch,
            "loss": "" if epoch == 0 else 1 / epoch,
            "seconds": "" if epoch == 0 else 2.0,
            "mean_iou_pooled": (1 + 2 * recall * (epoch - 0.5 * seed) / 4) / 3,
            "iou_background": 1.0,
            "iou_pancreas": recall * max(0.0, epoch - 0.5 * seed) / 4,
            "iou_tumour": recall * max(0.0, epoch - 0.5 * seed) / 4,
        }
        for epoch in range(5)
    ]


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
