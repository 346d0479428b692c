"""What is said before an experiment starts, against torch's own counts."""

from __future__ import annotations

import inspect
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from tomolift import data
from tomolift.training import ComparisonConfig, Config, TrainingConfig, _estimate, load_profile
from tomolift.training._arm_text import arm_named
from tomolift.training._estimate import Volumes, estimate, look_at_volumes
from tomolift.training._network import build_network
from tomolift.training._network_size import network_size
from tomolift.training.cli import main

CONFIGS = [
    ("2d", (33, 40)),
    ("random", (18, 33, 40)),
    ("random+every-slice", (9, 33, 40)),
    ("random+depth_kernel=1", (18, 33, 40)),
]


def network_and_size(name: str, size: tuple[int, ...]):  # type: ignore[no-untyped-def]
    arm = arm_named(name)
    config = arm.training(TrainingConfig())
    network = build_network(arm, num_classes=4, seed=0, config=config, start=None)
    return network, network_size(size, num_classes=4, config=config)


@pytest.mark.parametrize(("name", "size"), CONFIGS)
def test_parameters_work_and_kept_activations_are_torchs(name: str, size: tuple[int, ...]) -> None:
    network, expected = network_and_size(name, size)
    image = torch.rand(1, 1, *size)
    assert expected.parameters == sum(value.numel() for value in network.parameters())
    own = {value.untyped_storage().data_ptr() for value in network.parameters()}
    kept: dict[int, int] = {}

    def keep(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return value

    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value)
    with FlopCounterMode(display=False) as counter, hooks:
        logits = network(image, full_resolution=False)
    assert logits.requires_grad
    assert counter.get_total_flops() == 2 * expected.multiply_adds
    measured = sum(size for pointer, size in kept.items() if pointer not in own)
    # Besides, BatchNorm keeps four numbers a channel, and the grey stem its folded weight.
    channels = sum(value.numel() for key, value in network.named_buffers() if "mean" in key)
    besides = 4 * channels + network.conv1.weight.numel() // 3
    assert measured == 4 * (expected.activations + besides) + 8 * expected.indices


@pytest.fixture
def known_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_estimate, "matrix_speed", lambda: 1e9)


def config_of(*arms: str) -> Config:
    config = load_profile("paper")
    return replace(config, weights="procedural", comparison=ComparisonConfig(arms=arms))


@pytest.mark.usefixtures("known_speed")
def test_the_hours_are_the_multiply_adds_of_all_passes() -> None:
    volumes = Volumes(cases=10, plane=(64, 64), num_classes=3)
    said = estimate(config_of("random"), volumes)
    one = network_size((70, 64, 64), num_classes=3, config=TrainingConfig())
    # 30 epochs of 8 cases forward and backward, 2 cases forward
    seconds = 30 * (3 * 8 + 2) * one.multiply_adds / 1e9
    assert said["rows"]["random"]["hours a run"] == pytest.approx(seconds / 3600, abs=1e-3)
    assert said["hours"] == pytest.approx(seconds / 3600, abs=1e-2)


@pytest.mark.usefixtures("known_speed")
def test_the_2d_run_that_a_row_starts_from_is_counted_once() -> None:
    volumes = Volumes(cases=10, plane=(64, 64), num_classes=3)
    assert list(estimate(config_of("average", "zero"), volumes)["rows"]) == [
        "2d",
        "average",
        "zero",
    ]
    assert list(estimate(config_of("average", "2d"), volumes)["rows"]) == ["2d", "average"]
    assert list(estimate(config_of("random"), volumes)["rows"]) == ["random"]


@pytest.mark.usefixtures("known_speed")
def test_folds_seeds_and_fractions_multiply() -> None:
    volumes = Volumes(cases=10, plane=(64, 64), num_classes=3)
    config = config_of("random")
    once = estimate(config, volumes)["hours"]
    comparison = replace(config.comparison, folds=2, seeds=3, fractions=(0.5, 1.0))
    often = estimate(replace(config, comparison=comparison), volumes)["hours"]
    assert often == pytest.approx(2 * 3 * 1.5 * once, rel=0.01)


@pytest.mark.usefixtures("known_speed")
def test_the_papers_3d_step_fits_where_the_design_says_it_does_in_bf16() -> None:
    """Within 12 GB (training design, Targets)."""
    volumes = Volumes(cases=250, plane=(512, 512), num_classes=3)
    config = config_of("random")
    half = replace(config, training=replace(config.training, precision="bf16"))
    memory = [estimate(each, volumes)["rows"]["random"]["memory GB"] for each in (half, config)]
    assert memory[0] < 12
    assert memory[0] < 0.7 * memory[1]


def test_the_phantoms_plane_is_the_one_it_is_written_with() -> None:
    side = inspect.signature(data.write_phantom).parameters["size"].default
    assert look_at_volumes(load_profile("quick"), None).plane == (side, side)


def test_volumes_are_looked_at_where_a_task_is_given(tmp_path: Path) -> None:
    task = data.write_phantom(tmp_path, cases=4, size=24, depth=8)
    config = replace(load_profile("paper"), weights="procedural")
    volumes = look_at_volumes(config, task)
    assert volumes == Volumes(cases=4, plane=(24, 24), num_classes=3)


def test_a_dry_run_says_it_all_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["reproduce", "--dry-run", "--fractions", "0.5,1", "--out", str(out)]) == 0
    said = json.loads(capsys.readouterr().out)
    assert set(said["estimate"]["rows"]) == set(load_profile("quick").comparison.arms)
    assert said["estimate"]["disk GB"] > 0
    assert said["estimate"]["hours"] > 0
    assert said["config"]["comparison"]["fractions"] == [0.5, 1.0]
    assert "average fold 0 seed 0 fraction 0.5" in said["runs"]
    assert not out.exists()
