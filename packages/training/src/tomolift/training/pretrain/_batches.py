"""Pictures to batches: normalised, flipped, cropped, and read one batch ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor

from ._config import PretrainConfig
from ._source import IGNORED, Picture, PictureSource

_Key = TypeVar("_Key")
_Item = TypeVar("_Item")

# Of ImageNet, RGB in [0, 1]; the checkpoints this network stands in for expect the same.
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_STD = np.array([0.229, 0.224, 0.225], np.float32)


@dataclass(frozen=True)
class Batch:
    """Normalised images and their labels.

    Attributes:
        images: Float32, shape (batch, 3, height, width).
        labels: Class or 255 for "ignored", shape (batch, height, width).
    """

    images: Float[Tensor, "batch 3 height width"]
    labels: UInt8[Tensor, "batch height width"]


def epoch_length(source: PictureSource, config: PretrainConfig) -> int:
    """Return how many training pictures one epoch has."""
    return _wanted(config.pictures, source.count("training"))


def training_batches(
    source: PictureSource, config: PretrainConfig, *, epoch: int
) -> Iterator[Batch]:
    """Yield one epoch of flipped random crops; order and crops depend on (seed, epoch) alone."""
    available = source.count("training")
    rng = np.random.default_rng((config.seed, epoch))
    if available is None:
        order = np.arange(epoch * config.pictures, (epoch + 1) * config.pictures)
    else:
        order = rng.permutation(available)[: epoch_length(source, config)]
    seeds = rng.integers(2**32, size=len(order))
    groups = [slice(start, start + config.batch) for start in range(0, len(order), config.batch)]

    def read(group: slice) -> Batch:
        return _stack(
            _augment(source.read("training", int(index)), config.crop, int(seed))
            for index, seed in zip(order[group], seeds[group], strict=True)
        )

    yield from _one_ahead(read, groups)


def validation_batches(source: PictureSource, config: PretrainConfig) -> Iterator[Batch]:
    """Yield the validation pictures whole, neighbours of equal size together."""
    count = _wanted(config.validation, source.count("validation"))
    waiting: list[Picture] = []
    for picture in _one_ahead(lambda index: source.read("validation", index), range(count)):
        full = len(waiting) == config.batch
        if waiting and (full or waiting[0].label.shape != picture.label.shape):
            yield _stack(waiting)
            waiting = []
        waiting.append(picture)
    if waiting:
        yield _stack(waiting)


def _wanted(wanted: int, available: int | None) -> int:
    """Return the number of pictures taken of a part; 0 wanted means all there are."""
    return wanted if available is None else min(wanted or available, available)


def _augment(picture: Picture, crop: int, seed: int) -> Picture:
    rng = np.random.default_rng(seed)
    flip, place = rng.random() < 0.5, rng.random(2)
    image, label = _at_least(picture, crop)
    top, left = (int(p * (s - crop + 1)) for p, s in zip(place, label.shape, strict=True))
    window = (slice(top, top + crop), slice(left, left + crop))
    image, label = image[window], label[window]
    return Picture(image[:, ::-1], label[:, ::-1]) if flip else Picture(image, label)


def _at_least(picture: Picture, side: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Fill a small picture up, below and to the right, with the mean colour and "ignored"."""
    height, width = picture.label.shape
    missing = ((0, max(0, side - height)), (0, max(0, side - width)))
    if not any(after for _, after in missing):
        return picture.image, picture.label
    label = np.pad(picture.label, missing, constant_values=IGNORED)
    image = np.empty((*label.shape, 3), np.uint8)
    image[:] = np.round(_MEAN * 255.0)
    image[:height, :width] = picture.image
    return image, label


def _stack(pictures: Iterable[Picture]) -> Batch:
    pictures = list(pictures)
    images = np.stack([picture.image for picture in pictures]).astype(np.float32)
    images = (images / np.float32(255.0) - _MEAN) / _STD
    labels = np.stack([picture.label for picture in pictures])
    return Batch(torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(labels))


def _one_ahead(read: Callable[[_Key], _Item], keys: Iterable[_Key]) -> Iterator[_Item]:
    """Yield read(key) for every key, reading the next while the caller works on this one."""
    with ThreadPoolExecutor(max_workers=1) as reader:
        pending = None
        for key in keys:
            ready, pending = pending, reader.submit(read, key)
            if ready is not None:
                yield ready.result()
        if pending is not None:
            yield pending.result()
