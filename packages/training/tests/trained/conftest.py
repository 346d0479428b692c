"""Two runs, trained in seconds on oblique blobs of several depths, and their task."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from tomolift import data
from tomolift.training import ComparisonConfig, Config, DataConfig, TrainingConfig
from tomolift.training._device import Compute
from tomolift.training._perform import perform
from tomolift.training._run import Experiment, Run
from tomolift.training._split import Split

DEPTH = 12
# shallower than a window, as deep, deeper: each once among the evaluation cases
SLICES = {"case_0": 9, "case_1": 12, "case_2": 29, "case_3": 12, "case_4": 14, "case_5": 12}
EVALUATED = ("case_0", "case_1", "case_2")


@dataclass(frozen=True)
class Blobs:
    """The task, its cache, and how to get a finished run's folder."""

    task: Path
    cache: data.Cache
    run_dir: Callable[[int], Path]

    def image(self, case: str) -> Path:
        return self.task / "imagesTr" / f"{case}.nii.gz"

    def truth(self, case: str) -> Path:
        return self.task / "labelsTr" / f"{case}.nii.gz"


def oblique_affine(spacing: tuple[float, float, float]) -> np.ndarray:
    """Left and posterior rising, as a scanner writes it, turned by 20 degrees about x."""
    angle = np.radians(20)
    turn = np.array(
        [[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]]
    )
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([-spacing[0], -spacing[1], spacing[2]])
    affine[:3, 3] = (61.5, 40.25, -300.125)
    return affine


@pytest.fixture(scope="session")
def blob_task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("blobs") / "Task"
    generator = np.random.default_rng(0)
    listed = []
    for index, (case, depth) in enumerate(SLICES.items()):
        x, y, z = np.meshgrid(np.arange(24), np.arange(32), np.arange(depth), indexing="ij")
        distance = np.sqrt((x - 9 - index) ** 2 + (y - 16) ** 2 + (z - depth / 2) ** 2)
        labels = (distance < 7).astype(np.uint8) + (distance < 3)
        image = (generator.normal(0, 10, labels.shape) + 100 * labels).astype(np.int16)
        affine = oblique_affine((0.8, 0.7, 2.5))
        for sub, volume in (("imagesTr", image), ("labelsTr", labels.astype(np.uint8))):
            (folder / sub).mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(volume, affine), folder / sub / f"{case}.nii.gz")
        listed.append({"image": f"./imagesTr/{case}.nii.gz", "label": f"./labelsTr/{case}.nii.gz"})
    dataset = {
        "name": "Blobs",
        "modality": {"0": "CT"},
        "labels": {"0": "background", "1": "organ", "2": "core"},
        "numTraining": len(listed),
        "training": listed,
        "test": [],
    }
    (folder / "dataset.json").write_text(json.dumps(dataset))
    return folder


@pytest.fixture(scope="session")
def blobs(blob_task: Path, tmp_path_factory: pytest.TempPathFactory) -> Blobs:
    out = tmp_path_factory.mktemp("out")
    data.build_cache(blob_task, out / "cache", depth=DEPTH, short="pad", workers=1)
    cache = data.open_cache(out / "cache")
    others = tuple(case for case in cache.cases if case not in EVALUATED)
    config = Config(
        name="test",
        data=DataConfig(depth=DEPTH, short="pad", zoom=1.5, intensity="foreground:zscore"),
        # measured statistics: after so few steps the running averages predict one class alone
        training=TrainingConfig(epochs_2d=2, epochs_3d=2, norm_batches=2, source="none"),
        comparison=ComparisonConfig(arms=("2d", "random+replicate+stride")),
    )
    experiment = Experiment(
        config=config,
        cache=cache,
        split=Split((EVALUATED, others)),
        compute=Compute(torch.device("cpu"), "fp32"),
        source=None,
        task_dir=blob_task,
        out=out,
    )
    folders: dict[int, Path] = {}

    def run_dir(spatial_dims: int) -> Path:
        if spatial_dims not in folders:
            name = "2d" if spatial_dims == 2 else "random+replicate+stride"
            run = Run(experiment=experiment, arm_name=name, fold=0, seed=0)
            perform(run, on_epoch=lambda run, history: None)
            folders[spatial_dims] = run.folder
        return folders[spatial_dims]

    return Blobs(task=blob_task, cache=cache, run_dir=run_dir)
