"""The arms: one row of the comparison each (paper, Table 1)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One row of the comparison.

    Attributes:
        label: how tables and figures call it.
        spatial_dims: 2 trains on slices, 3 on volumes.
        strategy: inflation strategy of tomolift.inflation; None takes no 2D weights (random) or,
            in 2D, all of them.
        starts_from: "source" (the pre-trained 2D network), "2d" (the fine-tuned arm 2d of the
            same fold and seed, unless the configuration says `source = "pretrained"`), or
            "nothing".
        paper_mean_iou: the paper's figure, None where it has none.
    """

    label: str
    spatial_dims: int
    strategy: str | None
    starts_from: str
    paper_mean_iou: float | None


ARMS: dict[str, Arm] = {
    "2d": Arm(
        label="2D net",
        spatial_dims=2,
        strategy=None,
        starts_from="source",
        paper_mean_iou=0.3325,
    ),
    # The inflated arms have had 2D and 3D epochs: this row gives the 2D net as many.
    "2d-continued": Arm(
        label="2D net, continued for the 3D epochs",
        spatial_dims=2,
        strategy=None,
        starts_from="2d",
        paper_mean_iou=None,
    ),
    "random": Arm(
        label="3D, random initialisation",
        spatial_dims=3,
        strategy=None,
        starts_from="nothing",
        paper_mean_iou=0.3329,
    ),
    "zero": Arm(
        label="3D, zero-weight initialisation",
        spatial_dims=3,
        strategy="zero",
        starts_from="2d",
        paper_mean_iou=0.3565,
    ),
    "average": Arm(
        label="3D, initialisation by averaging",
        spatial_dims=3,
        strategy="average",
        starts_from="2d",
        paper_mean_iou=0.3835,
    ),
    "scaling": Arm(
        label="3D, initialisation by scaling",
        spatial_dims=3,
        strategy="scaling",
        starts_from="2d",
        paper_mean_iou=0.3689,
    ),
}

PAPER_ARMS = ("2d", "2d-continued", "random", "zero", "average", "scaling")
