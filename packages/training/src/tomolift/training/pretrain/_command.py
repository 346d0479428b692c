"""`tomolift pretrain`: the 2D source network as a step by itself."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

import tyro

from ..errors import ConfigError
from ._config import PROCEDURAL, PretrainConfig, PretrainReport
from ._pictures import ProceduralPictures
from ._recipe import pretrain
from ._source import PictureSource
from ._voc import open_voc


def pretrain_command(
    voc_dir: tyro.conf.Positional[Path | None] = None,
    *,
    procedural: bool = False,
    out: Path = Path("runs/pretrained"),
    epochs: int | None = None,
    pictures: int | None = None,
    validation: int | None = None,
    batch: int | None = None,
    learning_rate: float | None = None,
    seed: int = 0,
    precision: Literal["auto", "fp32", "bf16"] = "auto",
) -> PretrainReport:
    """Train the 2D source network: on a VOC folder (the paper's recipe) or on drawn pictures.

    Args:
        voc_dir: Folder with JPEGImages, SegmentationClass and ImageSets/Segmentation.
        procedural: Draw the pictures; needs no download and about two minutes on two cores.
        out: Folder of the weights and their report; a network found there is not trained again.
        epochs: Passes over the pictures (VOC 30, drawn 4).
        pictures: Training pictures per epoch (VOC all).
        validation: Validation pictures (VOC all).
        batch: Pictures per step (VOC 100, drawn 16).
        learning_rate: Adam's (VOC 1e-4; drawn 1e-3 at its highest).
        seed: Of initialisation, order, flips and crops; drawn pictures stay the same.
        precision: auto takes bf16 where the hardware has it; fp32 is the paper's.
    """
    if (voc_dir is None) != procedural:
        raise ConfigError(
            "pretrain: expected either VOC_DIR or --procedural; "
            "`tomolift pretrain --procedural` needs no data"
        )
    source: PictureSource = ProceduralPictures() if voc_dir is None else open_voc(voc_dir)
    given = {
        "epochs": epochs,
        "pictures": pictures,
        "validation": validation,
        "batch": batch,
        "learning_rate": learning_rate,
    }
    config = dataclasses.replace(
        PROCEDURAL if procedural else PretrainConfig(),
        seed=seed,
        precision=precision,
        **{name: value for name, value in given.items() if value is not None},  # type: ignore[arg-type]
    )
    report = pretrain(source, out, config, progress=_print)
    _print(report.summary())
    _print(str(report.path))
    return report


def _print(line: str) -> None:
    print(line, flush=True)
