"""How large the dilated ResNet-18 is, and its work on an input: arithmetic, no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from ._training_config import TrainingConfig


@dataclass(frozen=True, kw_only=True)
class NetworkSize:
    """What one input costs.

    Attributes:
        parameters: trained numbers.
        multiply_adds: of a forward pass over one grey input.
        activations: numbers that a forward pass keeps for its backward pass.
        indices: int64 numbers that the pool keeps besides.
    """

    parameters: int
    multiply_adds: int
    activations: int
    indices: int


@dataclass(frozen=True)
class _Layer:
    """A convolution followed by BatchNorm, and by a ReLU where it is no shortcut."""

    before: int
    after: int
    kernel: int
    cells: int
    is_shortcut: bool = False


def network_size(size: tuple[int, ...], *, num_classes: int, config: TrainingConfig) -> NetworkSize:
    """The size of an arm's network on one input.

    Args:
        size: (H, W) for the 2D network, (D, H, W) for the 3D one, as the network sees it, after
            magnification.
        num_classes: background included.
        config: the row's own depth stride and kernel.
    """
    in_depth = len(size) == 3

    def taps(kernel: int) -> int:
        deep = kernel if in_depth and config.depth_kernel != 1 else 1
        return kernel * kernel * deep

    layers = list(_layers(size, config))
    stem, last = layers[0], layers[-1]
    weights = sum(layer.before * layer.after * taps(layer.kernel) for layer in layers)
    norms = sum(2 * layer.after for layer in layers)
    work = sum(_per_channel(layer) * layer.before * taps(layer.kernel) for layer in layers)
    # Grey folding: the stem's three channels are multiplied as one.
    work -= _per_channel(stem) * 2 * taps(stem.kernel)
    head = num_classes * last.after
    # A shortcut's BatchNorm output is added and gone; the others' become the ReLU's.
    kept = sum(_per_channel(layer) * (1 if layer.is_shortcut else 2) for layer in layers)
    pooled = layers[1].cells * stem.after
    return NetworkSize(
        parameters=weights + norms + head + num_classes,
        multiply_adds=work + head * last.cells,
        activations=kept + pooled + prod(size),
        indices=pooled,
    )


def _per_channel(layer: _Layer) -> int:
    return layer.cells * layer.after


def _layers(size: tuple[int, ...], config: TrainingConfig) -> Iterator[_Layer]:
    """The network's convolutions but for the last, in order (paper.md, the 2D network exactly)."""
    stride = config.depth_stride or 2
    size = _strided(size, 2, stride)
    yield _Layer(3, 64, 7, prod(size))
    size = _strided(size, 2, stride)
    before = 64
    for after, in_plane in ((64, 1), (128, 2), (256, 1), (512, 1)):
        size = _strided(size, in_plane, stride if in_plane == 2 else 1)
        cells = prod(size)
        if after != before:
            yield _Layer(before, after, 1, cells, is_shortcut=True)
        yield _Layer(before, after, 3, cells)
        for _ in range(3):
            yield _Layer(after, after, 3, cells)
        before = after


def _strided(size: tuple[int, ...], in_plane: int, in_depth: int) -> tuple[int, ...]:
    *depth, height, width = size
    plane = (-(-height // in_plane), -(-width // in_plane))
    return (*(-(-length // in_depth) for length in depth), *plane)
