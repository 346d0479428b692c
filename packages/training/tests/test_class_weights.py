"""Balanced class weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tomolift import data, ops
from tomolift.training._class_weights import balanced_weights


def counts(cache: data.Cache, cases: tuple[str, ...]) -> np.ndarray:
    labels = np.concatenate([cache.labels(case).ravel() for case in cases])
    return np.bincount(labels[labels != 255], minlength=cache.num_classes)


def test_every_class_has_the_same_share_and_a_voxel_the_mean_weight_one(cache: data.Cache) -> None:
    cases = cache.cases[:3]
    shares = counts(cache, cases) * balanced_weights(cache, cases).double().numpy()
    total = counts(cache, cases).sum()
    np.testing.assert_allclose(shares, total / 3, rtol=1e-6)


def test_the_weights_are_of_the_given_cases_alone(cache: data.Cache) -> None:
    some = balanced_weights(cache, cache.cases[:1])
    assert not torch.equal(some, balanced_weights(cache, cache.cases[1:]))


def test_a_class_that_never_occurs_leaves_the_others_balanced() -> None:
    class Without:
        """A cache of one case that lacks class 1."""

        def __getitem__(self, case: str) -> object:
            return type("Info", (), {"label_counts": np.array([[3, 0, 1], [3, 0, 1]])})

    weights = balanced_weights(Without(), ["a"])  # type: ignore[arg-type]
    assert weights.tolist() == [pytest.approx(8 / 12), 0.0, pytest.approx(2.0)]


def test_the_fused_loss_weighs_as_torch_does_in_float64() -> None:
    generator = torch.Generator().manual_seed(0)
    low = torch.randn(2, 3, 2, 4, 4, generator=generator)
    labels = torch.randint(0, 3, (2, 8, 16, 16), generator=generator).to(torch.uint8)
    labels[:, :2] = 255
    weights = torch.tensor([0.4, 2.0, 5.0])
    loss, _ = ops.upsampled_cross_entropy(
        low, labels, ignore_index=255, reduction="sum", weight=weights
    )
    logits = F.interpolate(low.double(), (8, 16, 16), mode="trilinear", align_corners=True)
    expected = F.cross_entropy(
        logits, labels.long(), ignore_index=255, reduction="sum", weight=weights.double()
    )
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
