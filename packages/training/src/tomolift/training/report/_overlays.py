"""overlays.png: an evaluation slice, its truth, and what every arm says of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap

from tomolift import data, ops

from .._loss import low_resolution_logits
from .._network import build_network
from .._run import RunResult, final_weights
from ._figure import colour, new_figure, save_figure

_CASES_SHOWN = 2


def draw_overlays(results: Sequence[RunResult], path: Path) -> None:
    """Draw, for up to two evaluation cases, the slice with the most foreground.

    Args:
        results: finished runs; the first fold's and seed's are shown.
        path: the PNG. Anterior is up, patient right is left, as radiologists look at it.
    """
    shown = [item for item in results if item.run.fold == 0 and item.run.seed == 0]
    experiment = shown[0].run.experiment
    cache = experiment.cache
    cases = experiment.split.evaluation(0)[:_CASES_SHOWN]
    figure = new_figure(1.9 * (len(shown) + 2), 2.2 * len(cases))
    grid = figure.subplots(len(cases), len(shown) + 2, squeeze=False)
    for row, case in zip(grid, cases, strict=True):
        slice_index = int(np.asarray(cache[case].label_counts)[:, 1:].sum(1).argmax())
        image, truth = cache.slice(case, slice_index), cache.labels(case)[slice_index]
        _show(row[0], image, None, f"{case}, slice {slice_index}")
        _show(row[1], image, truth, "truth")
        for axes, result in zip(row[2:], shown, strict=True):
            predicted = predict_slice(result, case, slice_index)
            valid = np.where(truth == cache.ignore_label, 0, predicted)
            _show(axes, image, valid, result.run.arm_name)
    save_figure(figure, path)


def predict_slice(result: RunResult, case: str, slice_index: int) -> np.ndarray:
    """A finished run's labels of one slice of a case, uint8 (H, W)."""
    run, experiment = result.run, result.run.experiment
    cache, config = experiment.cache, experiment.config
    network = build_network(
        run.arm,
        num_classes=cache.num_classes,
        seed=run.seed,
        config=config.training,
        start=None,
    )
    network.load_state_dict(final_weights(run))
    placed = experiment.compute.place(network, spatial_dims=run.arm.spatial_dims).eval()
    intensity = data.parse_intensity(config.data.intensity)
    if run.arm.spatial_dims == 2:
        array = cache.slice(case, slice_index, intensity=intensity)
    else:
        array = cache.volume(case, intensity=intensity)
    images = torch.as_tensor(np.array(array))[None, None].to(experiment.compute.device)
    with torch.inference_mode():
        logits = low_resolution_logits(
            placed, images, zoom=config.data.zoom, compute=experiment.compute
        )
        labels = ops.upsampled_argmax(logits.float().cpu(), array.shape)[0]
    return (labels if run.arm.spatial_dims == 2 else labels[slice_index]).numpy()


def _show(axes: Axes, image: np.ndarray, labels: np.ndarray | None, title: str) -> None:
    # Rows run posterior to anterior and columns left to right: both are turned for display.
    axes.imshow(image[::-1, ::-1], cmap="gray", interpolation="nearest")
    if labels is not None:
        names = int(max(labels[labels < 255].max(initial=1), 2))
        tints = ListedColormap([colour(index + 3) for index in range(names)])
        masked = np.ma.masked_where((labels == 0) | (labels == 255), labels)
        axes.imshow(
            masked[::-1, ::-1], cmap=tints, alpha=0.55, vmin=1, vmax=names, interpolation="nearest"
        )
    axes.set_title(title, fontsize=7)
    axes.set_axis_off()
