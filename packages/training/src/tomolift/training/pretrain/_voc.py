"""Pictures and label maps of a folder laid out like PASCAL VOC 2012.

ROOT/JPEGImages/ID.jpg
ROOT/SegmentationClass/ID.png                      palette indices are classes, 255 ignored
ROOT/ImageSets/Segmentation/{train,val}.txt        one ID a line
ROOT/SegmentationClassAug/ID.png                   optional: VOC + SBD (the paper's recipe)
ROOT/ImageSets/Segmentation/{train_aug,trainaug}.txt
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import ConfigError
from ._source import IGNORED, Part, Picture

CLASS_NAMES: tuple[str, ...] = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat"),
    *("chair", "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant"),
    *("sheep", "sofa", "train", "tvmonitor"),
)

# The largest VOC picture has 0.25 million; the bound keeps a forged header from filling memory.
_MAX_PIXELS = 2**25


@dataclass(frozen=True)
class VocPictures:
    """A VOC folder, its lists read and compared; made by `open_voc`.

    Attributes:
        root: The folder that holds JPEGImages.
        training: IDs of the training pictures.
        validation: IDs of the validation pictures.
        training_labels: Folder of the training label maps, under root.
    """

    root: Path
    training: tuple[str, ...]
    validation: tuple[str, ...]
    training_labels: str = "SegmentationClass"

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the 21 classes, background first."""
        return CLASS_NAMES

    @property
    def identity(self) -> str:
        """Every listed file by name, size and time of change, for the name of a result."""
        digest = hashlib.sha256()
        for part in ("training", "validation"):
            for name in self._names(part):
                for path in self._paths(part, name):
                    found = path.stat() if path.is_file() else None
                    stamp = (found.st_size, found.st_mtime_ns) if found else None
                    digest.update(f"{part} {path.relative_to(self.root)} {stamp}\n".encode())
        return f"voc-{digest.hexdigest()[:12]}"

    def count(self, part: Part) -> int:
        """Return the number of pictures of a part."""
        return len(self._names(part))

    def read(self, part: Part, index: int) -> Picture:
        """Read one picture and its label map.

        Raises:
            ConfigError: a file is missing, unreadable, of another size or holds a wrong class.
        """
        name = self._names(part)[index]
        image_path, label_path = self._paths(part, name)
        image = _decode(image_path, modes=("RGB", "L"), convert="RGB")
        label = _decode(label_path, modes=("P", "L"))
        if image.shape[:2] != label.shape:
            raise ConfigError(
                f"{label_path}: {label.shape} rows and columns, its picture has {image.shape[:2]}; "
                "replace it by the one that belongs to the picture"
            )
        wrong = label[(label >= len(CLASS_NAMES)) & (label != IGNORED)]
        if wrong.size:
            raise ConfigError(
                f"{label_path}: class {int(wrong[0])}, expected 0 to {len(CLASS_NAMES) - 1} or "
                f"{IGNORED}; use the palette maps of SegmentationClass, not SegmentationObject"
            )
        return Picture(image, label)

    def _names(self, part: Part) -> tuple[str, ...]:
        return self.training if part == "training" else self.validation

    def _paths(self, part: Part, name: str) -> tuple[Path, Path]:
        labels = self.training_labels if part == "training" else "SegmentationClass"
        return self.root / "JPEGImages" / f"{name}.jpg", self.root / labels / f"{name}.png"


def open_voc(root: Path) -> VocPictures:
    """Open a VOC folder, with SBD's training pictures where they are there.

    Args:
        root: The folder that holds JPEGImages, SegmentationClass and ImageSets.

    Raises:
        ConfigError: a folder or list is missing or empty, or a picture is in both lists.
    """
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        if not (root / folder).is_dir():
            raise ConfigError(
                f"{root / folder}: no such folder; pass the folder of a VOC layout "
                "(VOCdevkit/VOC2012), which holds JPEGImages, SegmentationClass and ImageSets"
            )
    lists = root / "ImageSets" / "Segmentation"
    validation = _read_list(lists / "val.txt")
    augmented = next(
        (p for n in ("train_aug", "trainaug") if (p := lists / f"{n}.txt").is_file()), None
    )
    if augmented is not None and (root / "SegmentationClassAug").is_dir():
        training, labels = _read_list(augmented), "SegmentationClassAug"
    else:
        training, labels = _read_list(lists / "train.txt"), "SegmentationClass"
    shared = sorted(set(training) & set(validation))
    if shared:
        raise ConfigError(
            f"{lists}: {shared[0]} is listed for training and validation; remove it from one"
        )
    return VocPictures(root, training, validation, labels)


def _read_list(path: Path) -> tuple[str, ...]:
    """Read the IDs of a list; of "/JPEGImages/ID.jpg /Seg.../ID.png" the ID is taken."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); restore the list of IDs") from error
    names = tuple(PurePosixPath(line.split()[0]).stem for line in lines if line.strip())
    if not names:
        raise ConfigError(f"{path}: lists no picture; put one ID on each line")
    return names


def _decode(path: Path, *, modes: tuple[str, ...], convert: str | None = None) -> NDArray[np.uint8]:
    try:
        with Image.open(path, formats=("JPEG", "PNG")) as picture:
            if picture.width * picture.height > _MAX_PIXELS:
                raise ConfigError(
                    f"{path}: {picture.width} x {picture.height} pixels, expected at most "
                    f"{_MAX_PIXELS}; scale it down"
                )
            if picture.mode not in modes:
                raise ConfigError(
                    f"{path}: colour mode {picture.mode}, expected {' or '.join(modes)}; "
                    "use the original VOC file"
                )
            return np.array(picture.convert(convert) if convert else picture, np.uint8)
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: listed but missing; restore it or shorten the list") from error
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ConfigError(f"{path}: not a readable picture ({error}); restore it") from error
