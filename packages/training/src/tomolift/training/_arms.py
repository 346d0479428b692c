"""The arms: one row of the comparison each (paper, Table 1)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from ._training_config import TrainingConfig

StartingPoint = Literal["nothing", "source", "2d"]


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One row of the comparison.

    Attributes:
        label: how tables and figures call it.
        spatial_dims: 2 trains on slices, 3 on volumes.
        strategy: inflation strategy of tomolift.inflation; None takes no 2D weights (random) or,
            in 2D, all of them.
        starts_from: "source" (the pre-trained 2D network), "2d" (the fine-tuned arm 2d of the
            same fold and seed, unless the configuration says another `source`), or "nothing".
        paper_mean_iou: the paper's figure, None where it has none.
        settings: what this row trains with instead of the profile's values: keys of the training
            section, in alphabetical order.
    """

    label: str
    spatial_dims: int
    strategy: str | None
    starts_from: StartingPoint
    paper_mean_iou: float | None = None
    settings: tuple[tuple[str, Any], ...] = ()

    def training(self, config: TrainingConfig) -> TrainingConfig:
        """The row's own configuration: the profile's with this row's settings."""
        return replace(config, **dict(self.settings))

    def starting_point(self, config: TrainingConfig) -> StartingPoint:
        """Where its weights come from, given the row's own configuration."""
        if self.starts_from == "source":
            return "nothing" if config.source == "none" else "source"
        # The continued 2D row continues arm 2d by definition, whatever the 3D arms start from.
        if self.starts_from == "nothing" or self.spatial_dims == 2:
            return self.starts_from
        points: dict[str, StartingPoint] = {
            "finetuned": "2d",
            "pretrained": "source",
            "none": "nothing",
        }
        return points[config.source]


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
    "triangular": Arm(
        label="3D, triangular taps",
        spatial_dims=3,
        strategy="triangular",
        starts_from="2d",
    ),
    "negative": Arm(
        label="3D, negative outer taps",
        spatial_dims=3,
        strategy="negative",
        starts_from="2d",
    ),
    # What 3D training gains without any depth context: the control for every row above.
    "slicewise": Arm(
        label="3D, slice by slice",
        spatial_dims=3,
        strategy="zero",
        starts_from="2d",
        settings=(("depth_kernel", 1), ("depth_stride", 1)),
    ),
}

PAPER_ARMS = ("2d", "2d-continued", "random", "zero", "average", "scaling")
