"""The learning rate of a step."""

from __future__ import annotations

import pytest
import torch

from tomolift.training import TrainingConfig
from tomolift.training._schedule import learning_rate


def rates(config: TrainingConfig, *, steps_per_epoch: int = 5, epochs: int = 4) -> list[float]:
    return [
        learning_rate(config, step, steps_per_epoch=steps_per_epoch, epochs=epochs)
        for step in range(steps_per_epoch * epochs)
    ]


def test_the_papers_rate_is_constant() -> None:
    assert set(rates(TrainingConfig())) == {1e-3}


def test_the_cosine_is_torchs() -> None:
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    annealing = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=20)
    expected = []
    for _ in range(20):
        expected.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        annealing.step()
    ours = rates(TrainingConfig(schedule="cosine", learning_rate=0.1))
    assert ours == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_the_warm_up_rises_in_equal_steps_to_the_rate(schedule: str) -> None:
    config = TrainingConfig(schedule=schedule, warmup_epochs=1, learning_rate=0.1)  # type: ignore[arg-type]
    ours = rates(config)
    assert ours[:5] == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1])
    assert ours[5] == 0.1
    assert max(ours) == 0.1


def test_a_warm_up_may_be_part_of_an_epoch() -> None:
    assert rates(TrainingConfig(warmup_epochs=0.4))[:3] == pytest.approx([5e-4, 1e-3, 1e-3])
