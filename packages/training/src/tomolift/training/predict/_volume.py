"""Labels of a volume of any depth, window by window, without full-resolution logits."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tomolift import ops

from .._loss import low_resolution_logits
from .._sampling import sampling_stride
from ..errors import PredictionError
from ._trained import Trained
from ._windows import DEFAULT_OVERLAP, Window, plan_windows


def predict_volume(
    trained: Trained, volume: NDArray[np.float32], *, overlap: float = DEFAULT_OVERLAP
) -> NDArray[np.uint8]:
    """Label every voxel of a volume.

    A 3D network sees windows of the depth it was trained on (`plan_windows`); a shallower volume
    is centred in one, between slices of its minimum, as `short = "pad"` trains. A 2D network sees
    every slice once. Each window's labels are exactly those of one forward: nothing is blended,
    for two windows' low-resolution logits lie on different grids (align_corners=True).

    Beside the volume and its labels, memory holds one window: its activations, its
    low-resolution logits, its labels.

    Args:
        trained: what `load_trained` returns.
        volume: float32 (D, H, W), rescaled by the run's own policy, `trained.run.intensity`.
        overlap: share of a window that the next one shows too; see `plan_windows`.

    Returns:
        uint8 (D, H, W), classes of `trained.run.label_names`.

    Raises:
        ConfigError: `overlap` outside its range.
        PredictionError: `volume` is no volume, or a logit is no number.

    Example:
        >>> trained = load_trained(run_dir)  # doctest: +SKIP
        >>> volume, geometry = read_volume(path, intensity=trained.run.intensity)  # doctest: +SKIP
        >>> write_labels(geometry, predict_volume(trained, volume), out)  # doctest: +SKIP
    """
    if volume.ndim != 3 or volume.dtype != np.float32 or volume.size == 0:
        raise PredictionError(
            f"volume is {volume.dtype} {volume.shape}, expected float32 (D, H, W); read it with "
            "tomolift.data.read_volume"
        )
    labels = np.empty(volume.shape, np.uint8)
    windows = _windows(trained, len(volume), overlap=overlap)
    for window in windows:
        shown = _shown(trained, volume, window)
        predicted = _labels(trained, shown)
        kept = slice(window.first - window.start, window.stop - window.start)
        if trained.run.arm.spatial_dims == 2:
            kept = slice(None)
        labels[window.first : window.stop] = predicted[kept]
    return labels


def _windows(trained: Trained, num_slices: int, *, overlap: float) -> tuple[Window, ...]:
    # A slice of its own has nothing to gain from an overlap.
    wanted = 0.0 if trained.run.arm.spatial_dims == 2 else overlap
    return plan_windows(num_slices, depth=trained.run.depth, overlap=wanted)


def _shown(trained: Trained, volume: NDArray[np.float32], window: Window) -> Tensor:
    """A window as network input, (1, 1, D, H, W), or its slices, (N, 1, H, W)."""
    if trained.run.arm.spatial_dims == 2:
        return torch.tensor(volume[window.first : window.stop])[:, None]
    depth = trained.run.depth
    if window.start >= 0:
        return torch.tensor(volume[window.start : window.start + depth])[None, None]
    padded = np.full((depth, *volume.shape[1:]), volume.min(), np.float32)
    padded[-window.start : len(volume) - window.start] = volume
    return torch.from_numpy(padded)[None, None]


def _labels(trained: Trained, images: Tensor) -> NDArray[np.uint8]:
    """Labels (D or N, H, W) of one forward, at the images' grid."""
    zoom, compute = trained.run.config.data.zoom, trained.compute
    with torch.inference_mode():
        logits = low_resolution_logits(
            trained.network, images.to(compute.device), zoom=zoom, compute=compute
        )
        if not bool(torch.isfinite(logits).all()):
            raise PredictionError(
                "the network's logits are no numbers for this image; use --precision fp32, or "
                "look for grey values the training never saw"
            )
        if logits.device.type == "cuda" and not ops.build_info()["cuda"]:
            logits = logits.cpu()  # an eighth of the voxels in every axis
        size = tuple(images.shape[2:])
        stride = sampling_stride(
            trained.network, size, zoom=zoom, sampling=trained.run.training.sampling
        )
        labels = ops.upsampled_argmax(logits, size, stride=stride).cpu()
    if images.ndim == 5:
        labels = labels[0]
    return labels.numpy()
