"""A tiny MSD task and tiny source weights, so that the whole experiment runs in seconds."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from tomolift.models import DilatedResNet18, write_checkpoint

ROOT = Path(__file__).parent.parent


def write_task(folder: Path, *, cases: int = 6, depth: int = 12, side: int = 24) -> Path:
    """Bright blobs (1) with brighter cores (2) on noise, written as real .nii.gz."""
    generator = np.random.default_rng(0)
    listed = []
    for index in range(cases):
        z, y, x = np.meshgrid(*map(np.arange, (depth + index % 2, side, side)), indexing="ij")
        centre = np.array([depth, side, side]) / 2 + generator.uniform(-2, 2, 3)
        distance = np.sqrt((z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2)
        labels = (distance < 5).astype(np.uint8) + (distance < 2.5)
        image = generator.normal(0, 20, labels.shape) + 100 * labels
        name = f"case_{index:03d}.nii.gz"
        for sub, volume in (("imagesTr", image.astype(np.int16)), ("labelsTr", labels)):
            (folder / sub).mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(volume.T.astype(volume.dtype), np.eye(4)), folder / sub / name)
        listed.append({"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"})
    names = {"0": "background", "1": "organ", "2": "core"}
    dataset = {
        "name": "Tiny",
        "modality": {"0": "CT"},
        "labels": names,
        "numTraining": cases,
        "training": listed,
        "test": [],
    }
    (folder / "dataset.json").write_text(json.dumps(dataset))
    return folder


@pytest.fixture(scope="session")
def tiny_task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_task(tmp_path_factory.mktemp("task") / "Tiny")


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained 21-class source network: right in form, nothing learned."""
    network = DilatedResNet18(21, generator=torch.Generator().manual_seed(0))
    path = tmp_path_factory.mktemp("weights") / "source.safetensors"
    write_checkpoint(path, network.state_dict(), {})
    return path


@pytest.fixture(scope="session")
def tiny_profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("profile") / "tiny.toml"
    path.write_text(
        "[data]\ndepth = 12\n[training]\nepochs_2d = 1\nepochs_3d = 2\nprecision = 'fp32'\n"
        "[comparison]\nsplit_folds = 3\n"
    )
    return path


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real volumes and weights, where they are at hand."""
    folder = Path(os.environ.get("TOMOLIFT_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set TOMOLIFT_SHARED")
    return folder


@pytest.fixture
def memory_folder(tmp_path: Path) -> Iterator[Path]:
    """An empty folder in memory where the system has such: an fsync there costs nothing."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="tomolift-test-", dir=memory) as folder:
        yield Path(folder)
