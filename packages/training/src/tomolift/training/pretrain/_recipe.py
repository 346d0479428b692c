"""`pretrain`: find the trained network in its folder, or train it and put it there."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path

from .._files import write_json
from ..errors import ConfigError
from ._config import PROCEDURAL, PretrainConfig, PretrainReport
from ._pictures import ProceduralPictures
from ._source import PictureSource

# Part of every result's name: raise it when the pictures or the training change.
_RECIPE_VERSION = 1


def pretrain(
    source: PictureSource,
    out_dir: Path,
    config: PretrainConfig,
    *,
    progress: Callable[[str], None] | None = None,
) -> PretrainReport:
    """Train the 2D source network by the VOC recipe, or find it trained already.

    The weights are named after a hash of configuration (precision as it was asked for) and
    pictures, and lie beside a JSON report, which is written last: a second call with the same
    configuration and pictures reuses both, whatever device trained them.
    Best epoch by validation mean IoU (paper, "Its VOC recipe").

    Args:
        source: The pictures.
        out_dir: Folder of the result; made where it is missing.
        config: How to train.
        progress: Called with one line per epoch.

    Returns:
        The report; `report.path` is read by `tomolift.models.read_checkpoint`.

    Raises:
        ConfigError: an endless picture set with `pictures=0` or `validation=0`, or a bad file.
        NonFiniteLossError: the loss became NaN or infinite.
        OSError: out_dir cannot be written.
    """
    _check_counts(source, config)
    tell = progress or _silent
    path = out_dir / f"source_{_fingerprint(source, config)}.safetensors"
    found = _find(path, tell)
    return _train(source, path, config, tell) if found is None else found


def procedural_weights(
    cache_dir: Path, *, progress: Callable[[str], None] | None = None
) -> PretrainReport:
    """Return the embedded default source network, trained at the first call.

    Args:
        cache_dir: Folder of the result.
        progress: Called with one line per epoch.
    """
    return pretrain(ProceduralPictures(), cache_dir, PROCEDURAL, progress=progress)


def _train(
    source: PictureSource, path: Path, config: PretrainConfig, tell: Callable[[str], None]
) -> PretrainReport:
    # torch takes seconds to import, and neither --help nor a network found again needs it.
    from tomolift.models import write_checkpoint

    from ._fit import fit

    fitted = fit(source, config, progress=tell)
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {
        "source": source.identity,
        "config": json.dumps(dataclasses.asdict(config)),
        "classes": json.dumps(source.class_names),
    }
    write_checkpoint(path, fitted.state, metadata)
    report = PretrainReport(
        path=path,
        mean_iou=fitted.mean_iou,
        floor_mean_iou=fitted.floor_mean_iou,
        class_iou={
            name: None if math.isnan(value) else value
            for name, value in zip(source.class_names, fitted.class_iou, strict=True)
        },
        losses=fitted.losses,
        epochs=config.epochs,
        best_epoch=fitted.best_epoch,
        pictures=fitted.pictures,
        seconds=fitted.seconds,
        source=source.identity,
        device=fitted.device,
        sha256=_sha256(path),
    )
    values = dataclasses.asdict(report) | {"path": path.name, "config": dataclasses.asdict(config)}
    write_json(path.with_suffix(".json"), values)
    return report


def _find(path: Path, tell: Callable[[str], None]) -> PretrainReport | None:
    """Return the report of a finished training, None where there is none or a file is damaged."""
    record = path.with_suffix(".json")
    if not (path.is_file() and record.is_file()):
        return None
    fields = [field.name for field in dataclasses.fields(PretrainReport)]
    try:
        values = json.loads(record.read_text("utf-8"))
        found = {name: values[name] for name in fields} | {"path": path}
        intact = found["sha256"] == _sha256(path)
    except (ValueError, KeyError, TypeError):
        intact = False
    if not intact:
        tell(f"{path}: the weights do not fit their report {record.name}; training again")
        return None
    return PretrainReport(**found | {"losses": tuple(found["losses"])})


def _fingerprint(source: PictureSource, config: PretrainConfig) -> str:
    identity = [_RECIPE_VERSION, source.identity, source.class_names, dataclasses.asdict(config)]
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def _check_counts(source: PictureSource, config: PretrainConfig) -> None:
    for part, field in (("training", "pictures"), ("validation", "validation")):
        if source.count(part) is None and getattr(config, field) == 0:  # type: ignore[arg-type]
            raise ConfigError(f"{field} = 0: {source.identity} has no end; give a number")


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _silent(line: str) -> None:
    """Where nobody listens."""
