"""Random variations of training batches, on their device, one draw a case and epoch."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from ._training_config import Augmentation

# Small: what another patient position and another scanner would do, not more. Probabilities are
# of nnU-Net's order (Isensee et al. 2021, supplement), ranges are narrower than its.
_AFFINE_SHARE, _GAMMA_SHARE, _NOISE_SHARE = 0.5, 0.3, 0.15
_ANGLE_DEGREES = 15.0
_SCALE = (0.9, 1.1)
_SHIFT = 0.05  # of the plane's side
_GAMMA = (0.7, 1.5)
_NOISE = (0.0, 0.05)  # standard deviation, of the case's grey range


@dataclass(frozen=True, kw_only=True)
class Variation:
    """What happens to one slice or volume.

    Attributes:
        flips: whether depth (volumes only), height and width are turned round.
        angle_degrees: rotation in the plane.
        scale: magnification in the plane.
        shift: of height and width, as a share of their length.
        gamma: exponent of the grey values, between their own extremes.
        noise: standard deviation of white noise, of the grey range.
        noise_seed: of the noise.
    """

    flips: tuple[bool, bool, bool] = (False, False, False)
    angle_degrees: float = 0.0
    scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    gamma: float = 1.0
    noise: float = 0.0
    noise_seed: int = 0


def draw_variation(kind: Augmentation, *, seed: int, epoch: int, item: object) -> Variation:
    """Draw a variation, a pure function of its arguments.

    Args:
        kind: "flips" draws nothing else, "full" all of it.
        seed: of the run.
        epoch: from 0.
        item: the case, or case and slice.
    """
    draw = random.Random(f"augmentation {seed} {epoch} {item}")
    flips = (draw.random() < 0.5, draw.random() < 0.5, draw.random() < 0.5)
    if kind == "flips":
        return Variation(flips=flips)
    moved, bent, noisy = (
        draw.random() < share for share in (_AFFINE_SHARE, _GAMMA_SHARE, _NOISE_SHARE)
    )
    return Variation(
        flips=flips,
        angle_degrees=draw.uniform(-_ANGLE_DEGREES, _ANGLE_DEGREES) if moved else 0.0,
        scale=draw.uniform(*_SCALE) if moved else 1.0,
        shift=(draw.uniform(-_SHIFT, _SHIFT), draw.uniform(-_SHIFT, _SHIFT))
        if moved
        else (0.0, 0.0),
        gamma=math.exp(draw.uniform(*map(math.log, _GAMMA))) if bent else 1.0,
        noise=draw.uniform(*_NOISE) if noisy else 0.0,
        noise_seed=draw.getrandbits(63),
    )


def vary(
    images: Float[Tensor, "batch 1 *space"],
    labels: UInt8[Tensor, " batch *space"],
    variations: Sequence[Variation],
    *,
    ignore_label: int,
) -> tuple[Float[Tensor, "batch 1 *space"], UInt8[Tensor, " batch *space"]]:
    """Apply one variation to each slice or volume of a batch; nothing is changed in place.

    Volumes are turned in their planes only, every slice alike: their depth is sampled otherwise.
    Images are resampled linearly, labels by the nearest voxel; a label that would come from
    beyond the edge is ignored, and ignored voxels stay so wherever they go.
    """
    pairs = [
        _vary_one(image[0], label, variation, ignore_label)
        for image, label, variation in zip(images, labels, variations, strict=True)
    ]
    return torch.stack([image for image, _ in pairs]).unsqueeze(1), torch.stack(
        [label for _, label in pairs]
    )


def _vary_one(
    image: Tensor, labels: Tensor, variation: Variation, ignore_label: int
) -> tuple[Tensor, Tensor]:
    flips = variation.flips[-image.ndim :]
    axes = [axis for axis, turned in enumerate(flips) if turned]
    image, labels = image.flip(axes), labels.flip(axes)
    if (variation.angle_degrees, variation.scale, variation.shift) != (0.0, 1.0, (0.0, 0.0)):
        image, labels = _move(image, labels, variation, ignore_label)
    low, high = image.amin(), image.amax()
    extent = (high - low).clamp(min=torch.finfo(image.dtype).tiny)
    if variation.gamma != 1:
        image = ((image - low) / extent) ** variation.gamma * extent + low
    if variation.noise:
        generator = torch.Generator(image.device).manual_seed(variation.noise_seed)
        white = torch.randn(image.shape, generator=generator, device=image.device)
        image = image + variation.noise * extent * white
    return image, labels


def _move(
    image: Tensor, labels: Tensor, variation: Variation, ignore_label: int
) -> tuple[Tensor, Tensor]:
    """Rotate, magnify and shift every plane alike: slices are the channels of one 2D picture."""
    height, width = image.shape[-2:]
    planes = image.reshape(1, -1, height, width)
    angle = math.radians(variation.angle_degrees)
    cosine, sine = math.cos(angle) / variation.scale, math.sin(angle) / variation.scale
    down, right = variation.shift
    # Coordinates run from -1 to 1 along both axes: the ratio keeps a rotation one in voxels.
    theta = torch.tensor(
        [
            [cosine, -sine * height / width, -2 * right],
            [sine * width / height, cosine, -2 * down],
        ],
        dtype=image.dtype,
        device=image.device,
    )
    grid = F.affine_grid(theta[None], [1, 1, height, width], align_corners=False)
    moved = F.grid_sample(planes, grid, padding_mode="border", align_corners=False)
    # Beyond the edge grid_sample finds 0: that is made to mean "ignored".
    shifted = labels.reshape(1, -1, height, width).to(image.dtype) - ignore_label
    nearest = F.grid_sample(shifted, grid, mode="nearest", align_corners=False) + ignore_label
    return moved.reshape(image.shape), nearest.round().to(labels.dtype).reshape(labels.shape)
