"""Two processes that share a batch against one that has it all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

SCRIPT = Path(__file__).parent / "processes" / "train_in_parallel.py"


def train(processes: int, folder: Path) -> list[dict[str, Any]]:
    command = [sys.executable, str(SCRIPT)]
    meeting_point = str(folder / f"meeting_point_of_{processes}")
    running = [
        subprocess.Popen(
            [*command, str(rank), str(processes), meeting_point],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    try:
        ended = [process.communicate(timeout=90) for process in running]
    finally:
        for process in running:
            process.kill()
    for process, (_, errors) in zip(running, ended, strict=True):
        assert process.returncode == 0, errors
    return [json.loads(printed) for printed, _ in ended]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What one process says, then what each of two says."""
    folder = tmp_path_factory.mktemp("processes")
    return train(1, folder) + train(2, folder)


def test_the_summed_confusion_matrix_is_that_of_one_process(results: list[dict[str, Any]]) -> None:
    alone, *both = results
    voxels = 4 * (6 * 16 * 16 + 3 * 8 * 16)
    assert sum(map(sum, alone["matrix"])) == voxels
    for result in both:
        assert result["matrix"] == alone["matrix"]
        assert result["mean_iou"] == alone["mean_iou"]


def test_the_averaged_gradients_are_those_of_one_process(results: list[dict[str, Any]]) -> None:
    alone, *both = results
    for result in both:
        assert result["losses"] == pytest.approx(alone["losses"], rel=1e-6)
        for ours, theirs in zip(result["gradients"], alone["gradients"], strict=True):
            expected = torch.tensor(theirs)
            # float32 sums over the voxels in another order
            torch.testing.assert_close(torch.tensor(ours), expected, rtol=1e-4, atol=1e-6)
            assert float(expected.abs().max()) > 1e-3
