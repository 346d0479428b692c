"""overlays.png: an evaluation slice, its truth, and what every arm says of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from torch import nn

from tomolift import ops

from .._loss import low_resolution_logits
from .._network import build_network
from .._result import RunResult, final_weights
from .._run import Run
from .._sampling import sampling_stride
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
    slices = [int(np.asarray(cache[case].label_counts)[:, 1:].sum(1).argmax()) for case in cases]
    for row, case, z in zip(grid, cases, slices, strict=True):
        _show(row[0], cache.slice(case, z), None, f"{case}, slice {z}")
        _show(row[1], cache.slice(case, z), cache.labels(case)[z], "truth")
    for column, result in zip(grid.T[2:], shown, strict=True):
        network = finished_network(result)
        for axes, case, z in zip(column, cases, slices, strict=True):
            predicted = predict_slice(result.run, network, case, z)
            valid = np.where(cache.labels(case)[z] == cache.ignore_label, 0, predicted)
            _show(axes, cache.slice(case, z), valid, result.run.arm_name)
    save_figure(figure, path)


def finished_network(result: RunResult) -> nn.Module:
    """A finished run's network with its last weights, on its device, in eval mode."""
    run, experiment = result.run, result.run.experiment
    network = build_network(
        run.arm,
        num_classes=experiment.cache.num_classes,
        seed=run.seed,
        config=run.training,
        start=None,
    )
    network.load_state_dict(final_weights(result))
    return experiment.compute.place(network, spatial_dims=run.arm.spatial_dims).eval()


def predict_slice(run: Run, network: nn.Module, case: str, z: int) -> np.ndarray:
    """A network's labels of one slice of a case, uint8 (H, W)."""
    experiment = run.experiment
    cache, config = experiment.cache, experiment.config
    if run.arm.spatial_dims == 2:
        array = cache.slice(case, z, intensity=run.intensity)
    else:
        array = cache.volume(case, intensity=run.intensity)
    images = torch.as_tensor(array)[None, None].to(experiment.compute.device)
    with torch.inference_mode():
        logits = low_resolution_logits(
            network, images, zoom=config.data.zoom, compute=experiment.compute
        )
        stride = sampling_stride(
            network, array.shape, zoom=config.data.zoom, sampling=run.training.sampling
        )
        labels = ops.upsampled_argmax(logits.float().cpu(), array.shape, stride=stride)[0]
    return (labels if run.arm.spatial_dims == 2 else labels[z]).numpy()


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
