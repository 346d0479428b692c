"""HD95 and NSD in mm, on figures whose distances are known."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import numpy as np
import pytest

from tomolift.training import ConfigError
from tomolift.training.evaluation import surface_scores
from tomolift.training.evaluation._surface import require_monai

needs_monai = pytest.mark.skipif(
    not all(find_spec(name) for name in ("monai", "scipy")),
    reason="needs tomolift-training[surface]",
)
SPACING = (3.0, 0.5, 0.75)


def slab(first: int, stop: int, *, axis: int = 0) -> np.ndarray:
    """Slices first..stop of a (20, 20, 20) volume, filled from edge to edge."""
    mask = np.zeros((20, 20, 20), bool)
    mask[(slice(None),) * axis + (slice(first, stop),)] = True
    return mask


def ball(centre: tuple[int, int, int], radius_mm: float = 9.0) -> np.ndarray:
    z, y, x = np.meshgrid(*map(np.arange, (16, 80, 60)), indexing="ij")
    offsets = np.stack([z, y, x], -1) - np.array(centre)
    return ((offsets * np.array(SPACING)) ** 2).sum(-1) <= radius_mm**2


@needs_monai
@pytest.mark.parametrize(("axis", "apart_mm"), [(0, 12.0), (1, 2.0), (2, 3.0)])
def test_two_thin_planes_four_voxels_apart_are_so_many_mm_apart(axis: int, apart_mm: float) -> None:
    planes = slab(5, 6, axis=axis), slab(9, 10, axis=axis)
    distance, _ = surface_scores(*planes, spacing_mm=SPACING, tolerance_mm=1.0)
    assert distance == pytest.approx(apart_mm)


@needs_monai
@pytest.mark.parametrize(("shift", "apart_mm"), [((2, 0, 0), 6.0), ((0, 4, 0), 2.0)])
def test_a_shifted_ball_is_no_further_away_than_its_shift(
    shift: tuple[int, int, int], apart_mm: float
) -> None:
    """Its poles are moved by the whole shift, its flanks by less: 95 % lie just below."""
    centre = (7, 40, 30)
    moved = ball((centre[0] + shift[0], centre[1] + shift[1], centre[2] + shift[2]))
    distance, _ = surface_scores(ball(centre), moved, spacing_mm=SPACING, tolerance_mm=1.0)
    assert 0.7 * apart_mm <= distance <= apart_mm


@needs_monai
def test_hd95_is_the_percentile_of_all_pairs_of_boundary_voxels() -> None:
    first, second = ball((6, 36, 28)), ball((8, 40, 33), radius_mm=7.0)
    expected = max(
        np.percentile(nearest(boundary(first), boundary(second)), 95),
        np.percentile(nearest(boundary(second), boundary(first)), 95),
    )
    distance, _ = surface_scores(first, second, spacing_mm=SPACING, tolerance_mm=1.0)
    assert distance == pytest.approx(expected, rel=1e-6)  # MONAI computes in float32


def boundary(mask: np.ndarray) -> np.ndarray:
    """mm of the voxels that have a face neighbour outside."""
    padded = np.pad(mask, 1)
    inside = mask.copy()
    for axis in range(3):
        for step in (-1, 1):
            inside &= np.roll(padded, step, axis)[1:-1, 1:-1, 1:-1]
    return np.argwhere(mask & ~inside) * np.array(SPACING)


def nearest(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    return np.array([np.sqrt(((others - point) ** 2).sum(1)).min() for point in points])


@needs_monai
def test_nsd_of_a_box_that_grew_on_one_side_is_the_share_of_area_that_stayed() -> None:
    """The last face moved by 2 voxels of 3 mm; within 6 mm all agrees, within 3 mm a part."""
    box = np.zeros((20, 40, 40), bool)
    box[4:10, 5:35, 5:35] = True
    grown = box.copy()
    grown[10:12, 5:35, 5:35] = True
    at = {
        tolerance: surface_scores(box, grown, spacing_mm=SPACING, tolerance_mm=tolerance)[1]
        for tolerance in (0.0, 3.0, 6.0)
    }
    face = (30 * 0.5) * (30 * 0.75)
    ring = 2 * (30 * 0.5 + 30 * 0.75)  # per mm of depth
    areas = 2 * 2 * face + ring * (6 * 3 + 8 * 3)
    assert at[6.0] == 1.0
    # Off: either box's last face, and the grown box's last 6 mm of sides. Surface elements lie
    # at the voxels' corners: along the edges half a voxel of strip and of face may count as on.
    half_a_voxel = ring * (3.0 + 0.75) / 2 / areas
    assert at[0.0] == pytest.approx(1 - (2 * face + ring * 6) / areas, abs=half_a_voxel)
    assert at[0.0] < at[3.0] < 1


@needs_monai
def test_a_mask_agrees_with_itself_even_where_it_touches_the_volumes_end() -> None:
    mask = slab(0, 4)
    assert surface_scores(mask, mask, spacing_mm=SPACING, tolerance_mm=0.0) == (0.0, 1.0)


@needs_monai
def test_truth_and_prediction_may_be_exchanged() -> None:
    first, second = ball((6, 36, 28)), ball((8, 40, 33), radius_mm=7.0)
    there = surface_scores(first, second, spacing_mm=SPACING, tolerance_mm=1.0)
    back = surface_scores(second, first, spacing_mm=SPACING, tolerance_mm=1.0)
    assert there == pytest.approx(back, rel=1e-6)


def test_without_monai_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.ndimage", None)
    with pytest.raises(ConfigError, match=r"pip install 'tomolift-training\[surface\]'") as caught:
        require_monai()
    assert "--no-surface" in str(caught.value)
