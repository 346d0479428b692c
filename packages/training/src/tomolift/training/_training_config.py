"""How a row is trained: every key a profile, `--training` or a row's own name may set."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from ._ranges import at_least, one_of
from .errors import ConfigError

Precision = Literal["auto", "fp32", "bf16"]
DepthPadding = Literal["zeros", "replicate"]
Sampling = Literal["corners", "stride"]
StartsFrom = Literal["finetuned", "pretrained", "none"]
ClassWeights = Literal["none", "balanced"]
Schedule = Literal["constant", "cosine"]
Augmentation = Literal["none", "flips", "full"]

_WORDS = {
    "precision": Precision,
    "depth_padding": DepthPadding,
    "sampling": Sampling,
    "source": StartsFrom,
    "class_weights": ClassWeights,
    "schedule": Schedule,
    "augmentation": Augmentation,
}
_COUNTS = ("epochs_2d", "epochs_3d", "batch_2d", "batch_3d", "accumulate")
_NOT_NEGATIVE = (
    "depth_kernel", "depth_stride", "norm_batches", "threads", "weight_decay", "dice",
    "warmup_epochs",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How every arm is trained (paper, section Training; the defaults are the paper's).

    Attributes:
        epochs_2d: epochs of arm 2d.
        epochs_3d: epochs of each 3D arm and of the continued 2D row.
        batch_2d: slices per step.
        batch_3d: volumes per step.
        learning_rate: Adam's.
        beta1: Adam's first moment decay.
        beta2: Adam's second moment decay.
        weight_decay: coupled (L2), on every parameter.
        precision: "fp32" (paper), "bf16", or "auto": bf16 where the hardware has it.
        depth_padding: "zeros" (paper) or "replicate", of the 3D convolutions.
        depth_stride: 0 strides in depth as in the plane (paper); 1 never does.
        depth_kernel: 0 gives every filter as many depth taps as it is high (paper); 1 gives it
            one, so that a 3D network sees each slice by itself.
        alphas_3: the scaling strategy's multiples of a filter with three depth taps, first slice
            to last, positive, their sum 1.
        alphas_7: the same for seven taps.
        sampling: where a voxel reads the low-resolution logits: "corners" (paper) lays first and
            last samples on each other, "stride" reads where the network of this stride looked.
        norm_batches: training batches over which BatchNorm's statistics are measured again before
            an evaluation; 0 evaluates with the running averages (paper).
        source: what 3D arms inflate: "finetuned" the fine-tuned 2D arm (paper), "pretrained" the
            2D source network, "none" nothing; with "none" arm 2d starts at random too.
        threads: CPU threads; 0 takes torch's default.
        class_weights: of the cross-entropy: "none" (paper) or "balanced", every class of the
            training cases with the same share.
        dice: weight of a soft-Dice loss beside the mean cross-entropy; 0 is the paper's.
        schedule: the learning rate is "constant" (paper) or falls along half a "cosine".
        warmup_epochs: over which the learning rate rises linearly; 0 is the paper's.
        augmentation: "none" (paper), "flips", or "full": flips, small affine, gamma, noise.
        accumulate: batches an optimiser step takes its gradient from; 1 is the paper's.
        weight_average: decay of the moving average of the weights that is evaluated and kept
            instead of the last weights, such as 0.99; 0 is the paper's.
    """

    epochs_2d: int = 30
    epochs_3d: int = 30
    batch_2d: int = 32
    batch_3d: int = 2
    learning_rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    weight_decay: float = 1e-4
    precision: Precision = "fp32"
    depth_padding: DepthPadding = "zeros"
    depth_stride: int = 0
    depth_kernel: int = 0
    alphas_3: tuple[float, ...] = (0.25, 0.5, 0.25)
    alphas_7: tuple[float, ...] = (0.05, 0.1, 0.2, 0.3, 0.2, 0.1, 0.05)
    sampling: Sampling = "corners"
    norm_batches: int = 0
    source: StartsFrom = "finetuned"
    threads: int = 0
    class_weights: ClassWeights = "none"
    dice: float = 0.0
    schedule: Schedule = "constant"
    warmup_epochs: float = 0.0
    augmentation: Augmentation = "none"
    accumulate: int = 1
    weight_average: float = 0.0

    def __post_init__(self) -> None:
        for name, words in _WORDS.items():
            one_of(f"training.{name}", getattr(self, name), get_args(words))
        for name in _COUNTS:
            at_least(f"training.{name}", getattr(self, name), 1)
        for name in _NOT_NEGATIVE:
            at_least(f"training.{name}", getattr(self, name), 0)
        if not 0 < self.learning_rate < 1:
            raise ConfigError(f"training.learning_rate = {self.learning_rate}: expected 0 to 1")
        for name in ("beta1", "beta2", "weight_average"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"training.{name} = {getattr(self, name)}: expected [0, 1)")
        if self.depth_kernel not in (0, 1):
            raise ConfigError(f"training.depth_kernel = {self.depth_kernel}: expected 0 or 1")
        _check_alphas("training.alphas_3", self.alphas_3, 3)
        _check_alphas("training.alphas_7", self.alphas_7, 7)


def _check_alphas(name: str, alphas: tuple[float, ...], taps: int) -> None:
    # The sum and its tolerance are those of tomolift.inflation.Scaling, which needs torch.
    right = len(alphas) == taps and all(alpha > 0 for alpha in alphas)
    if not right or not abs(math.fsum(alphas) - 1) <= 1e-6:
        raise ConfigError(
            f"{name} = {':'.join(f'{alpha:g}' for alpha in alphas)}: expected {taps} positive "
            "numbers whose sum is 1"
        )
