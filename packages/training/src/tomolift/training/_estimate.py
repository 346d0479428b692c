"""What an experiment will take of disk, memory and time: said before it starts, without torch."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tomolift import data

from ._arm_text import arm_named
from ._config import Config
from ._network_size import network_size
from ._training_config import TrainingConfig

# Training over the processor's float32 matrix product, in multiply-adds a second: 0.7 to 1.4 (fp32)
# and 0.7 to 1.9 (bf16) in twelve pairs of turns, AMD EPYC, 2 threads, a busy machine, 2026-11-23.
_SPEED = {"fp32": 1.0, "bf16": 1.3}
_MATRIX_SIDE = 1024
# A backward pass is a product for the input's gradient and one for the weights'.
_TRAINING_PASSES = 3
# Weight, gradient and Adam's two moments, float32.
_BYTES_A_PARAMETER = 16
_PHANTOM_PLANE = (96, 96)
_GIGABYTE = 1e9


@dataclass(frozen=True, kw_only=True)
class Volumes:
    """What is known of the cases before a cache is built.

    Attributes:
        cases: how many there will be at most; short ones may be dropped.
        plane: (H, W) of the largest that was looked at.
        num_classes: background included.
    """

    cases: int
    plane: tuple[int, int]
    num_classes: int


def look_at_volumes(config: Config, task_dir: Path | None) -> Volumes:
    """The number of cases, and the plane of the largest of three volumes that are read.

    Raises:
        data.BadInput: the task or one of the three is damaged.
    """
    if task_dir is None:
        return Volumes(cases=config.data.phantom_cases, plane=_PHANTOM_PLANE, num_classes=3)
    task = data.read_task(task_dir)
    listed = task.cases
    some = {listed[index].image for index in (0, len(listed) // 2, -1)}
    planes = [data.read_volume(task_dir / image)[0].shape[1:] for image in sorted(some)]
    height, width = max(planes, key=lambda plane: plane[0] * plane[1])
    return Volumes(
        cases=config.data.cases or len(listed),
        plane=(height, width),
        num_classes=len(task.label_names),
    )


def estimate(config: Config, volumes: Volumes) -> dict[str, Any]:
    """Disk and memory in GB and hours on this processor, of every row and altogether.

    Memory is what the weights, Adam and the kept activations of a step take; a library's working
    space comes on top. Time is arithmetic over the speed of a matrix product measured now: believe
    it within a factor of two on the processor, and not at all for a GPU. Neither the cache nor the
    source network's own training is in it.
    """
    speed = matrix_speed()
    comparison = config.comparison
    runs = comparison.folds * comparison.seeds
    shares = sum(comparison.fractions)
    rows = {}
    names = dict.fromkeys((*_sources(config), *comparison.arms))
    for name in names:
        facts = _row(name, config, volumes)
        seconds = facts["work"] / (speed * _SPEED[facts["precision"]])
        rows[name] = {
            "memory GB": round(facts["bytes"] / _GIGABYTE, 2),
            "hours a run": round(seconds / 3600, 3),
            "GB a run": round(4 * facts["parameters"] / _GIGABYTE, 3),
        }
    cells = volumes.cases * config.data.depth * volumes.plane[0] * volumes.plane[1]
    count = len(comparison.fractions) * runs
    kept = sum(row["GB a run"] for row in rows.values()) * count
    # Weights and Adam's moments, of the two checkpoints that are kept while a row trains.
    unfinished = 2 * 3 * max(row["GB a run"] for row in rows.values())
    return {
        "cases at most": volumes.cases,
        "plane": list(volumes.plane),
        "matrix product, multiply-adds a second": f"{speed:.3g}",
        "rows": rows,
        "disk GB": round(3 * cells / _GIGABYTE + kept + unfinished, 2),  # int16 greys, uint8 labels
        "hours": round(sum(row["hours a run"] for row in rows.values()) * shares * runs, 2),
    }


def matrix_speed() -> float:
    """Multiply-adds a second of a float32 matrix product with all threads, the best of five."""
    matrix = np.ones((_MATRIX_SIDE, _MATRIX_SIDE), np.float32)
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        matrix @ matrix
        seconds.append(time.perf_counter() - started)
    return float(_MATRIX_SIDE**3 / min(seconds))


def _sources(config: Config) -> list[str]:
    """Arm 2d, where a row starts from it."""
    rows = (arm_named(name) for name in config.comparison.arms)
    starts = [arm.starting_point(arm.training(config.training)) for arm in rows]
    return ["2d"] if "2d" in starts else []


def _row(name: str, config: Config, volumes: Volumes) -> dict[str, Any]:
    """Bytes of a step, multiply-adds of a whole run, of one row on all its training cases."""
    arm = arm_named(name)
    training = arm.training(config.training)
    is_first = name.split("+")[0] == "2d"
    epochs = training.epochs_2d if is_first else training.epochs_3d
    in_plane = tuple(round(side * config.data.zoom) for side in volumes.plane)
    depth = round(config.data.depth * config.data.zoom)
    size = in_plane if arm.spatial_dims == 2 else (depth, *in_plane)
    one = network_size(size, num_classes=volumes.num_classes, config=training)
    batch = training.batch_2d if arm.spatial_dims == 2 else training.batch_3d
    inputs = config.data.depth if arm.spatial_dims == 2 else 1
    judged = volumes.cases / config.comparison.split_folds
    learned = volumes.cases - judged
    passes = inputs * (_TRAINING_PASSES * learned + judged) + training.norm_batches * batch
    # "auto" asks torch, which is not asked here: the larger of the two.
    precision = "bf16" if training.precision == "bf16" else "fp32"
    bytes_kept = batch * (one.activations * (4 if precision == "fp32" else 2) + 8 * one.indices)
    return {
        "parameters": one.parameters,
        "work": one.multiply_adds * passes * epochs,
        "bytes": _step_bytes(one.parameters, training) + bytes_kept,
        "precision": precision,
    }


def _step_bytes(parameters: int, training: TrainingConfig) -> int:
    average = 4 if training.weight_average else 0
    copies = 2 if training.precision == "bf16" else 0  # autocast keeps the weights in bfloat16 too
    return parameters * (_BYTES_A_PARAMETER + average + copies)
