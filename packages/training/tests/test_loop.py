from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tomolift import data
from tomolift.training import ConfigError, DataConfig, NonFiniteLossError, TrainingConfig
from tomolift.training._baselines import all_background, mean_training_mask
from tomolift.training._device import Compute, choose_compute
from tomolift.training._evaluate import evaluate
from tomolift.training._fit import Fit
from tomolift.training._loop import train, train_epoch
from tomolift.training._loss import loss_and_confusion

COMPUTE = Compute(torch.device("cpu"), "fp32")


class Small(nn.Module):
    """Output stride 4 in every axis, as small as a network with BatchNorm can be."""

    def __init__(self, spatial_dims: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        convolution = nn.Conv2d if spatial_dims == 2 else nn.Conv3d
        norm = nn.BatchNorm2d if spatial_dims == 2 else nn.BatchNorm3d
        self.body = nn.Sequential(convolution(1, 8, 3, 4, 1), norm(8), nn.ReLU())
        self.head = convolution(8, 3, 1)

    def forward(self, x: Tensor, *, full_resolution: bool = True) -> Tensor:
        assert not full_resolution
        return self.head(self.body(x))


def fit(
    cache: data.Cache, folder: Path, spatial_dims: int, epochs: int = 2, norm_batches: int = 0
) -> Fit:
    return Fit(
        name="test",
        spatial_dims=spatial_dims,
        epochs=epochs,
        batch=8 if spatial_dims == 2 else 2,
        seed=0,
        training_cases=cache.cases[:3],
        evaluation_cases=cache.cases[3:],
        folder=folder,
        identity="test",
        cache=cache,
        data=DataConfig(depth=16),
        training=TrainingConfig(learning_rate=1e-2, norm_batches=norm_batches),
        compute=COMPUTE,
    )


def run(network: nn.Module, what: Fit) -> tuple[list[dict[str, Any]], Any]:
    return train(network, what, on_epoch=lambda history: None)


@pytest.mark.parametrize("zoom", [1.0, 2.0])
@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_the_loss_is_torchs_on_upsampled_logits_in_float64(
    cache: data.Cache, spatial_dims: int, zoom: float
) -> None:
    network = Small(spatial_dims)
    feed = cache.slices if spatial_dims == 2 else cache.volumes
    images, labels = next(iter(feed(batch=2)))
    loss, confusion = loss_and_confusion(
        network, images, labels, zoom=zoom, compute=COMPUTE, ignore_label=255
    )
    mode = "bilinear" if spatial_dims == 2 else "trilinear"
    size = [round(length * zoom) for length in images.shape[2:]]
    zoomed = F.interpolate(images.double(), size=size, mode=mode, align_corners=True)
    low = network.double()(zoomed, full_resolution=False)
    logits = F.interpolate(low, size=labels.shape[1:], mode=mode, align_corners=True)
    expected = F.cross_entropy(logits, labels.long(), ignore_index=255, reduction="sum")
    # float32 forward of a five-layer network against float64
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert int(confusion.sum()) == int((labels != 255).sum())


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_training_lowers_the_loss_and_records_every_epoch(
    cache: data.Cache, tmp_path: Path, spatial_dims: int
) -> None:
    history, matrices = run(Small(spatial_dims), fit(cache, tmp_path, spatial_dims, 6))
    assert [record["epoch"] for record in history] == list(range(7))
    assert history[-1]["loss"] < 0.7 * history[1]["loss"]
    assert list(matrices) == list(cache.cases[3:])
    valid = sum(int((cache.labels(case) != 255).sum()) for case in matrices)
    assert sum(int(matrix.sum()) for matrix in matrices.values()) == valid


def test_the_same_seed_gives_the_same_bits(cache: data.Cache, tmp_path: Path) -> None:
    networks = [Small(3), Small(3)]
    for index, network in enumerate(networks):
        run(network, fit(cache, tmp_path / str(index), 3))
    for first, second in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        assert torch.equal(first, second)


def test_a_loss_that_is_no_number_stops_and_names_step_and_cases(
    cache: data.Cache, tmp_path: Path
) -> None:
    network = Small(3)
    with torch.no_grad():
        network.head.weight.fill_(float("nan"))
    optimiser = torch.optim.Adam(network.parameters())
    with pytest.raises(NonFiniteLossError, match=r"test: loss is nan at epoch 1, step 1.*phantom_"):
        train_epoch(network, optimiser, fit(cache, tmp_path, 3), epoch=0)


def test_measuring_the_norms_changes_evaluation_but_not_training(
    cache: data.Cache, tmp_path: Path
) -> None:
    running, measured = Small(3), Small(3)
    plain, _ = run(running, fit(cache, tmp_path / "0", 3))
    history, _ = run(measured, fit(cache, tmp_path / "1", 3, norm_batches=8))
    assert [record["loss"] for record in history] == [record["loss"] for record in plain]
    for first, second in zip(running.parameters(), measured.parameters(), strict=True):
        assert torch.equal(first, second)
    assert not torch.equal(running.body[1].running_var, measured.body[1].running_var)


def test_the_statistics_that_are_kept_are_those_that_were_evaluated(
    cache: data.Cache, tmp_path: Path
) -> None:
    network = Small(3)
    what = fit(cache, tmp_path, 3, norm_batches=8)
    _, matrices = run(network, what)
    again = evaluate(
        network,
        cache,
        what.evaluation_cases,
        spatial_dims=3,
        config=DataConfig(depth=16),
        compute=COMPUTE,
    )
    for case, matrix in matrices.items():
        assert torch.equal(matrix, again[case])


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_evaluation_restores_the_mode_and_leaves_the_network_alone(
    cache: data.Cache, spatial_dims: int
) -> None:
    network = Small(spatial_dims).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    evaluate(
        network,
        cache,
        cache.cases[:2],
        spatial_dims=spatial_dims,
        config=DataConfig(depth=16),
        compute=COMPUTE,
    )
    assert network.training
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_weights_that_are_no_numbers_are_never_a_result(cache: data.Cache, tmp_path: Path) -> None:
    network = Small(3)
    with torch.no_grad():
        network.head.bias.fill_(float("inf"))
    with pytest.raises(NonFiniteLossError, match=rf"{cache.cases[3]}: loss is .* in evaluation"):
        run(network, fit(cache, tmp_path, 3))
    assert not list(tmp_path.iterdir())


def test_the_background_baseline_counts_every_valid_voxel(cache: data.Cache) -> None:
    for case, matrix in all_background(cache, cache.cases).items():
        labels = cache.labels(case)
        expected = [int((labels == index).sum()) for index in range(cache.num_classes)]
        assert matrix[:, 0].tolist() == expected
        assert int(matrix[:, 1:].sum()) == 0


def test_the_mean_mask_of_a_case_itself_is_perfect(cache: data.Cache) -> None:
    (case, *_) = cache.cases
    matrix = mean_training_mask(cache, [case], [case])[case]
    assert int(matrix.trace()) == int(matrix.sum()) == int((cache.labels(case) != 255).sum())


def test_the_mean_mask_is_the_vote_of_the_training_cases(cache: data.Cache) -> None:
    *training, evaluated = cache.cases
    votes = np.stack([np.asarray(cache.labels(case)) for case in training])
    counts = np.stack([(votes == index).sum(0) for index in range(cache.num_classes)])
    truth, predicted = np.asarray(cache.labels(evaluated)), counts.argmax(0)
    valid = truth != 255
    hits = int((truth == predicted)[valid].sum())
    matrix = mean_training_mask(cache, training, [evaluated])[evaluated]
    assert int(matrix.trace()) == hits


def test_auto_does_not_take_a_bfloat16_that_is_emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    def supported(including_emulation: bool = True) -> bool:
        return including_emulation

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert choose_compute("auto").precision == "fp32"
    with pytest.raises(ConfigError, match="use fp32"):
        choose_compute("bf16")


def test_threads_and_precision_are_as_asked() -> None:
    before = torch.get_num_threads()
    try:
        compute = choose_compute("fp32", threads=1)
        assert torch.get_num_threads() == 1
        assert compute.precision == "fp32"
        assert choose_compute("auto").precision in ("fp32", "bf16")
        assert "1 thread" in compute.describe() or compute.device.type == "cuda"
    finally:
        torch.set_num_threads(before)
