"""Training beyond the paper, and that the paper's own training is untouched by it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tomolift import data
from tomolift.training import DataConfig, TrainingConfig, _loop
from tomolift.training._class_weights import balanced_weights
from tomolift.training._device import Compute
from tomolift.training._fit import Fit
from tomolift.training._loop import train
from tomolift.training._loss import loss_and_confusion
from tomolift.training._schedule import learning_rate

COMPUTE = Compute(torch.device("cpu"), "fp32")
EVERYTHING: dict[str, Any] = {
    "class_weights": "balanced",
    "dice": 0.5,
    "schedule": "cosine",
    "warmup_epochs": 0.5,
    "augmentation": "full",
    "accumulate": 2,
    "weight_average": 0.8,
    "norm_batches": 2,
}


class Tiny(nn.Module):
    """Output stride 4; with or without BatchNorm, which couples the cases of a batch."""

    def __init__(self, *, norm: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Conv3d(1, 6, 3, 4, 1)
        self.norm = nn.BatchNorm3d(6) if norm else nn.Identity()
        self.head = nn.Conv3d(6, 3, 1)

    def forward(self, x: Tensor, *, full_resolution: bool = True) -> Tensor:
        assert not full_resolution
        return self.head(self.norm(self.body(x)).relu())


MakeFit = Callable[..., Fit]


@pytest.fixture
def make_fit(cache: data.Cache, tmp_path: Path) -> MakeFit:
    def make(folder: str, *, batch: int = 1, epochs: int = 3, **settings: Any) -> Fit:
        return Fit(
            name="test",
            spatial_dims=3,
            epochs=epochs,
            batch=batch,
            seed=0,
            training_cases=cache.cases[:4],
            evaluation_cases=cache.cases[4:],
            folder=tmp_path / folder,
            identity="test",
            cache=cache,
            data=DataConfig(depth=16),
            training=TrainingConfig(**{"learning_rate": 1e-2, **settings}),
            compute=COMPUTE,
        )

    return make


def run(network: nn.Module, fit: Fit) -> list[dict[str, Any]]:
    return train(network, fit, on_epoch=lambda history: None)[0]


def equal(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_the_papers_training_is_a_plain_loop_bit_for_bit(make_fit: MakeFit) -> None:
    fit = make_fit("paper", batch=2)
    network, plain = Tiny(), Tiny()
    history = run(network, fit)
    optimiser = torch.optim.Adam(plain.parameters(), lr=1e-2, weight_decay=1e-4, fused=True)
    losses = []
    for epoch in range(3):
        total = valid = 0.0
        for images, labels in fit.batches(epoch):
            loss, confusion = loss_and_confusion(
                plain.train(), images, labels, zoom=1, compute=COMPUTE, ignore_label=255
            )
            optimiser.zero_grad()
            (loss / int(confusion.sum())).backward()
            optimiser.step()
            total, valid = total + float(loss.detach()), valid + int(confusion.sum())
        losses.append(total / valid)
    assert [record["loss"] for record in history[1:]] == losses
    assert equal(network, plain)


def test_accumulated_batches_train_as_one_batch_of_all_their_voxels(
    make_fit: MakeFit, cache: data.Cache
) -> None:
    """Cases of unequal padding: a mean of means would differ. Without norm, up to rounding."""
    valid = {int((cache.labels(case) != 255).sum()) for case in cache.cases[:4]}
    assert len(valid) > 1
    at_once, in_parts = Tiny(norm=False), Tiny(norm=False)
    whole = run(at_once, make_fit("whole", batch=4))
    parts = run(in_parts, make_fit("parts", batch=1, accumulate=4))
    assert [record["steps"] for record in parts[1:]] == [1, 1, 1]
    for one, other in zip(parts[1:], whole[1:], strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)
    for first, second in zip(at_once.parameters(), in_parts.parameters(), strict=True):
        # Adam's first steps divide a gradient by its own size: rounding is seen at the rate's scale
        torch.testing.assert_close(first, second, atol=1e-3 * 1e-2, rtol=1e-4)


def test_a_last_group_that_is_not_full_still_takes_its_step(make_fit: MakeFit) -> None:
    history = run(Tiny(), make_fit("rest", batch=1, accumulate=3, epochs=1))
    assert history[1]["steps"] == 2


def test_a_killed_training_with_everything_on_resumes_to_the_same_bits(
    make_fit: MakeFit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_loop, "CHECKPOINT_SECONDS", 0.0)
    straight, resumed = Tiny(), Tiny()
    expected = run(straight, make_fit("straight", epochs=4, **EVERYTHING))
    broken = make_fit("broken", epochs=4, **EVERYTHING)

    def stop(history: list[dict[str, Any]]) -> None:
        if len(history) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(Tiny(), broken, on_epoch=stop)
    history = run(resumed, broken)
    for key in ("loss", "learning_rate", "mean_iou_pooled", "mean_iou_per_case"):
        assert [record.get(key) for record in history] == [r.get(key) for r in expected]
    assert equal(resumed, straight)


@pytest.mark.parametrize(
    "setting", [{key: value} for key, value in EVERYTHING.items() if key != "norm_batches"]
)
def test_every_setting_changes_the_training(make_fit: MakeFit, setting: dict[str, Any]) -> None:
    plain, changed = Tiny(), Tiny()
    run(plain, make_fit("plain"))
    run(changed, make_fit("changed", **setting))
    assert not equal(plain, changed)


def test_the_recorded_rate_is_the_last_steps(make_fit: MakeFit) -> None:
    fit = make_fit("rate", schedule="cosine", warmup_epochs=0.5)
    history = run(Tiny(), fit)
    expected = [
        learning_rate(fit.training, 4 * epoch + 3, steps_per_epoch=4, epochs=3)
        for epoch in range(3)
    ]
    assert [record["learning_rate"] for record in history[1:]] == expected


def test_class_weights_are_those_of_the_training_cases(
    make_fit: MakeFit, cache: data.Cache
) -> None:
    weights = make_fit("weights", class_weights="balanced").class_weights
    assert weights is not None
    assert torch.equal(weights, balanced_weights(cache, cache.cases[:4]))


def test_augmented_batches_are_not_what_the_norms_are_measured_on(make_fit: MakeFit) -> None:
    fit = make_fit("flips", augmentation="flips")
    plain = [images.clone() for images, _ in fit.batches(0)]
    varied = [images.clone() for images, _ in fit.training_batches(0)]
    again = [images.clone() for images, _ in fit.training_batches(0)]
    assert not all(map(torch.equal, plain, varied))
    assert all(map(torch.equal, varied, again))
    for one, other in zip(plain, varied, strict=True):  # the same case, turned round
        torch.testing.assert_close(one.sum(), other.sum(), rtol=1e-4, atol=0)


def test_the_averaged_weights_are_evaluated_kept_and_trained_on_past(make_fit: MakeFit) -> None:
    plain, averaged = Tiny(norm=False), Tiny(norm=False)
    expected = run(plain, make_fit("plain"))
    history = run(averaged, make_fit("averaged", weight_average=0.9))
    losses = [[record["loss"] for record in each] for each in (history, expected)]
    assert losses[0] == losses[1]  # training itself never sees the average
    assert not equal(plain, averaged)
