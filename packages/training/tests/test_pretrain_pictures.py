"""The drawn pictures: determinism, label maps, classes."""

from __future__ import annotations

import numpy as np
import pytest

from tomolift.training.pretrain import ProceduralPictures, draw_picture
from tomolift.training.pretrain._classes import OBJECT_CLASSES
from tomolift.training.pretrain._shapes import capsule

INDICES = range(300)


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    source = ProceduralPictures(seed=5)
    return np.stack([source.read("training", index).label for index in INDICES])


def test_a_picture_depends_on_seed_part_and_index_alone() -> None:
    first = ProceduralPictures(seed=1).read("training", 7)
    again = ProceduralPictures(seed=1).read("training", 7)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.label, again.label)


@pytest.mark.parametrize(
    ("seed", "part", "index"), [(2, "training", 7), (1, "validation", 7), (1, "training", 8)]
)
def test_another_seed_part_or_index_gives_another_picture(seed: int, part: str, index: int) -> None:
    base = ProceduralPictures(seed=1).read("training", 7)
    other = ProceduralPictures(seed=seed).read(part, index)  # type: ignore[arg-type]
    assert not np.array_equal(base.image, other.image)


@pytest.mark.parametrize("size", [32, 72, 97])
def test_pictures_have_the_wanted_size_and_eight_bits(size: int) -> None:
    picture = draw_picture(np.random.default_rng(0), size=size)
    assert picture.image.shape == (size, size, 3)
    assert picture.label.shape == (size, size)
    assert picture.image.dtype == picture.label.dtype == np.uint8


def test_all_21_classes_and_the_ignored_border_occur_and_nothing_else(labels: np.ndarray) -> None:
    np.testing.assert_array_equal(np.unique(labels), [*range(21), 255])


def test_no_object_class_is_rarer_than_a_fifth_of_the_most_frequent(labels: np.ndarray) -> None:
    shares = np.bincount(labels.ravel(), minlength=256)[1:21]
    assert shares.min() > 0.2 * shares.max()


def test_the_ignored_border_is_thin(labels: np.ndarray) -> None:
    assert 0.03 < (labels == 255).mean() < 0.15


def test_every_object_is_enclosed_by_the_ignored_border(labels: np.ndarray) -> None:
    """An object never touches background: two differing neighbours include a 255, or overlap."""
    for first, second in ((labels[:, 1:], labels[:, :-1]), (labels[:, :, 1:], labels[:, :, :-1])):
        object_pixel = (first > 0) & (first < 255)
        touching = (object_pixel & (second == 0)).sum() / object_pixel.sum()
        assert touching < 0.002


def test_pictures_are_neither_washed_out_nor_clipped() -> None:
    images = np.stack([ProceduralPictures().read("training", i).image for i in range(100)])
    assert 0.3 < images.mean() / 255 < 0.7
    assert (images == 0).mean() < 0.1
    assert (images == 255).mean() < 0.1


def test_a_colour_tint_leaves_the_grey_level_alone_so_that_grey_pictures_occur() -> None:
    images = [ProceduralPictures().read("training", i).image for i in range(60)]
    grey = [bool((image[..., 0] == image[..., 2]).all()) for image in images]
    assert 10 < sum(grey) < 40


@pytest.mark.parametrize("kind", OBJECT_CLASSES, ids=lambda kind: kind.name)
def test_an_object_stays_within_its_window_and_has_an_inside(kind) -> None:
    grid = np.arange(-60.0, 61.0, dtype=np.float32)
    for seed in range(20):
        distance = kind.shape(grid[None, :], grid[:, None], 30.0, np.random.default_rng(seed))
        inside = np.argwhere(distance < 0) - 60
        assert len(inside) > 100
        assert np.abs(np.hypot(inside[:, 0], inside[:, 1])).max() <= 1.25 * 30


def test_capsule_is_the_distance_to_a_segment() -> None:
    x, y = np.float32([[0.0, 5.0, -3.0]]), np.float32([[2.0, 0.0, 4.0]])
    np.testing.assert_allclose(capsule(x, y, (-1.0, 0.0), (1.0, 0.0)), [[2.0, 4.0, 20**0.5]])


def test_too_small_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="size=16: objects need pictures of at least 32 pixels"):
        ProceduralPictures(size=16)


def test_a_negative_index_is_refused() -> None:
    with pytest.raises(IndexError, match="index=-1"):
        ProceduralPictures().read("training", -1)
