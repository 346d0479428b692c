"""Where the 2D source weights come from: drawn pictures, ImageNet, or a file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pooch

from .errors import ConfigError
from .pretrain import procedural_weights

IMAGENET_URL = "https://download.pytorch.org/models/resnet18-f37072fd.pth"
IMAGENET_SHA256 = "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec"

# A source network that learned less than this teaches the comparison nothing.
_LEAST_GAP = 0.2


@dataclass(frozen=True, kw_only=True)
class Source:
    """A 2D checkpoint with its origin.

    Attributes:
        path: the file.
        sha256: hex digest of its bytes.
        origin: one line for the report.
        facts: what is known of it (validation mean IoU, floor), JSON values.
    """

    path: Path
    sha256: str
    origin: str
    facts: dict[str, Any]


def obtain_source(weights: str, *, say: Callable[[str], None]) -> Source:
    """Find, download or train the 2D source network.

    Args:
        weights: "procedural", "imagenet" or a path.
        say: receives one line of progress at a time.

    Raises:
        ConfigError: nothing asked for, no such file, or a download that fails its checksum.
    """
    check_weights(weights)
    if weights == "procedural":
        report = procedural_weights(cache_folder() / "pretrain", progress=say)
        facts = {
            "validation_mean_iou": report.mean_iou,
            "validation_floor": report.floor_mean_iou,
        }
        say(report.summary())
        if report.mean_iou - report.floor_mean_iou < _LEAST_GAP:
            raise ConfigError(
                f"{report.path}: validation mean IoU {report.mean_iou:.3f} is not {_LEAST_GAP} "
                f"above its floor {report.floor_mean_iou:.3f}; delete it, or pass --weights FILE"
            )
        origin = f"procedural: {report.pictures} drawn pictures, 21 classes"
        return _source(report.path, origin, facts)
    if weights == "imagenet":
        path = fetch_weights(IMAGENET_URL, IMAGENET_SHA256, cache_folder() / "weights")
        return _source(path, "torchvision ResNet-18, ImageNet", {})
    return _source(Path(weights), Path(weights).name, {})


def check_weights(weights: str) -> None:
    """Refuse what `obtain_source` could never find; reads and fetches nothing.

    Raises:
        ConfigError: nothing asked for, or no such file.
    """
    if not weights:
        raise ConfigError("--weights is missing: give a checkpoint, procedural or imagenet")
    if weights not in ("procedural", "imagenet") and not Path(weights).is_file():
        raise ConfigError(f"{weights}: no such weights file; give a file, procedural or imagenet")


def cache_folder() -> Path:
    """Downloads and procedural weights: TOMOLIFT_CACHE, else the XDG cache folder."""
    if explicit := os.environ.get("TOMOLIFT_CACHE"):
        return Path(explicit)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tomolift"


def fetch_weights(url: str, sha256: str, folder: Path) -> Path:
    """Download a file once, checked against its full sha256 before it gets its name.

    Raises:
        ConfigError: the server does not answer or the bytes are not the expected ones.
    """
    name = url.rsplit("/", 1)[1]
    try:
        return Path(pooch.retrieve(url, f"sha256:{sha256}", fname=name, path=folder))
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(
            f"{url}: cannot be fetched ({reason}); download it by hand and pass --weights {name}"
        ) from error


def _source(path: Path, origin: str, facts: dict[str, Any]) -> Source:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Source(path=path, sha256=digest, origin=origin, facts=facts)
