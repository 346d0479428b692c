"""What `pretrain` asks of a picture set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Part = Literal["training", "validation"]

IGNORED = 255


@dataclass(frozen=True)
class Picture:
    """One picture and what it shows.

    Attributes:
        image: RGB, uint8, shape (height, width, 3).
        label: Class of every pixel or 255 for "ignored", uint8, shape (height, width).
    """

    image: NDArray[np.uint8]
    label: NDArray[np.uint8]


class PictureSource(Protocol):
    """A set of labelled pictures in two parts, read by number."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, background first."""
        ...

    @property
    def identity(self) -> str:
        """A name that changes whenever the pictures do."""
        ...

    def count(self, part: Part) -> int | None:
        """Return how many pictures a part has, None where there is no end."""
        ...

    def read(self, part: Part, index: int) -> Picture:
        """Return picture `index` of a part, the same one at every call."""
        ...
