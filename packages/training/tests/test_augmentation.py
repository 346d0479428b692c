"""Variations of training batches: what they do to images and labels, and what they depend on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tomolift.training._augmentation import Variation, draw_variation, vary


def batch(*spatial: int, count: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(count, 1, *spatial, generator=generator)
    labels = torch.randint(0, 3, (count, *spatial), generator=generator).to(torch.uint8)
    return images, labels


def apply(images: Tensor, labels: Tensor, *variations: Variation) -> tuple[Tensor, Tensor]:
    return vary(images, labels, variations, ignore_label=255)


def test_no_variation_changes_no_bit() -> None:
    images, labels = batch(4, 8, 6)
    image, label = apply(images, labels, Variation())
    assert torch.equal(image, images)
    assert torch.equal(label, labels)


@pytest.mark.parametrize("spatial", [(8, 6), (4, 8, 6)])
def test_a_flip_is_its_own_inverse_and_moves_labels_with_the_image(
    spatial: tuple[int, ...],
) -> None:
    images, labels = batch(*spatial)
    flip = Variation(flips=(True, False, True))
    image, label = apply(images, labels, flip)
    expected = images.numpy()[0, 0, ..., ::-1]
    expected = expected[::-1] if len(spatial) == 3 else expected
    np.testing.assert_array_equal(image[0, 0].numpy(), expected)
    again_image, again_label = apply(image, label, flip)
    assert torch.equal(again_image, images)
    assert torch.equal(again_label, labels)


def test_a_quarter_turn_is_numpys() -> None:
    images, labels = batch(3, 16, 16)
    image, label = apply(images, labels, Variation(angle_degrees=90))
    turns = {k: np.rot90(labels[0].numpy(), k, axes=(1, 2)) for k in (1, -1)}
    (turn,) = [k for k, expected in turns.items() if np.array_equal(label[0].numpy(), expected)]
    expected_image = np.rot90(images[0, 0].numpy(), turn, axes=(1, 2))
    np.testing.assert_allclose(image[0, 0].numpy(), expected_image, atol=1e-5)


def test_a_rotation_turns_by_its_angle_in_planes_that_are_not_square() -> None:
    """The centre of mass of a far blob turns about the plane's centre, distance kept."""
    height, width = 65, 129
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    blob = np.exp(-((rows - 32) ** 2 + (columns - 88) ** 2) / 8).astype(np.float32)
    image, _ = apply(
        torch.from_numpy(blob)[None, None],
        torch.zeros(1, height, width, dtype=torch.uint8),
        Variation(angle_degrees=30),
    )
    moved = image[0, 0].double().numpy()
    row = (moved * rows).sum() / moved.sum() - 32
    column = (moved * columns).sum() / moved.sum() - 64
    assert np.hypot(row, column) == pytest.approx(24, abs=0.05)
    assert abs(np.degrees(np.arctan2(row, column))) == pytest.approx(30, abs=0.2)


def test_a_shift_of_whole_voxels_moves_them_and_ignores_what_comes_from_outside() -> None:
    images, labels = batch(8, 8)
    image, label = apply(images, labels, Variation(shift=(0.25, 0.0)))
    assert torch.equal(label[0, 2:], labels[0, :-2])
    assert (label[0, :2] == 255).all()
    torch.testing.assert_close(image[0, 0, 2:], images[0, 0, :-2], atol=1e-5, rtol=0)


def test_a_magnification_enlarges() -> None:
    labels = torch.zeros(1, 40, 40, dtype=torch.uint8)
    labels[0, 15:25, 15:25] = 1
    _, label = apply(torch.zeros(1, 1, 40, 40), labels, Variation(scale=2.0))
    assert int((label == 1).sum()) == 4 * 100


def test_labels_are_never_mixed_and_ignored_ones_stay_ignored() -> None:
    images, labels = batch(6, 16, 16)
    labels[:, 4:] = 255
    variation = Variation(angle_degrees=11, scale=1.07, shift=(0.03, -0.02))
    _, label = apply(images, labels, variation)
    assert set(label.unique().tolist()) <= {0, 1, 2, 255}
    assert (label[:, 4:] == 255).all()
    assert (label[:, :4] != 255).any()


def test_gamma_keeps_the_extremes_and_is_a_power_between_them() -> None:
    images, labels = batch(8, 8)
    images = 40 * images - 10  # a policy need not end at 0 and 1
    image, label = apply(images, labels, Variation(gamma=1.4))
    low, high = images.min().item(), images.max().item()
    expected = ((images.double() - low) / (high - low)) ** 1.4 * (high - low) + low
    torch.testing.assert_close(image, expected.float(), atol=1e-4, rtol=1e-5)
    assert torch.equal(label, labels)


def test_noise_has_its_deviation_and_its_seed() -> None:
    images, labels = batch(64, 64)
    noisy = [apply(images, labels, Variation(noise=0.1, noise_seed=s))[0] for s in (1, 1, 2)]
    assert torch.equal(noisy[0], noisy[1])
    assert not torch.equal(noisy[0], noisy[2])
    extent = float(images.max() - images.min())
    # 4096 draws: the deviation's own standard error is 1.1 %
    assert float((noisy[0] - images).std()) == pytest.approx(0.1 * extent, rel=0.05)


def test_a_constant_image_stays_finite() -> None:
    _, labels = batch(8, 8)
    image, _ = apply(torch.full((1, 1, 8, 8), 0.3), labels, Variation(gamma=0.7, noise=0.05))
    assert bool(image.isfinite().all())


def test_a_case_varies_alike_wherever_it_stands_in_a_batch() -> None:
    images, labels = batch(8, 8, count=2)
    first, second = (draw_variation("full", seed=0, epoch=3, item=("a", z)) for z in (4, 5))
    together = apply(images, labels, first, second)[0]
    alone = apply(images[1:], labels[1:], second)[0]
    assert torch.equal(together[1:], alone)


def test_a_draw_depends_on_seed_epoch_and_item_and_on_nothing_else() -> None:
    def draw(seed: int, epoch: int, item: str) -> Variation:
        return draw_variation("full", seed=seed, epoch=epoch, item=item)

    assert draw(0, 0, "a") == draw(0, 0, "a")
    assert len({draw(0, 0, "a"), draw(1, 0, "a"), draw(0, 1, "a"), draw(0, 0, "b")}) == 4


def test_draws_are_within_their_ranges_and_as_frequent_as_said() -> None:
    draws = [draw_variation("full", seed=0, epoch=e, item="case") for e in range(2000)]
    assert max(abs(v.angle_degrees) for v in draws) <= 15
    assert 0.9 <= min(v.scale for v in draws) <= max(v.scale for v in draws) <= 1.1
    assert 0.7 <= min(v.gamma for v in draws) <= max(v.gamma for v in draws) <= 1.5
    assert max(v.noise for v in draws) <= 0.05
    # binomial over 2000: four standard deviations are at most 0.045
    assert np.mean([v.angle_degrees != 0 for v in draws]) == pytest.approx(0.5, abs=0.045)
    assert np.mean([v.gamma != 1 for v in draws]) == pytest.approx(0.3, abs=0.045)
    assert np.mean([v.noise != 0 for v in draws]) == pytest.approx(0.15, abs=0.035)
    assert np.mean([v.flips for v in draws], axis=0) == pytest.approx([0.5] * 3, abs=0.045)


def test_flips_alone_change_nothing_else() -> None:
    draws = [draw_variation("flips", seed=0, epoch=e, item="case") for e in range(50)]
    assert {Variation(flips=v.flips) == v for v in draws} == {True}
    assert len({v.flips for v in draws}) == 8
