"""How much an archive may ask for, and how one that asks for more is refused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .errors import BadInput


@dataclass(frozen=True, kw_only=True)
class ArchiveLimits:
    """Bounds that are checked before a byte is written, wide enough for every MSD task.

    The task with most volumes, Task01_BrainTumour, has 484 images with labels and 266 without:
    1,234 files, and as many ``._`` twins where macOS packed them.

    Attributes:
        entries: files and folders.
        total_bytes: of all files together, unpacked.
        file_bytes: of one file.
        path_characters: of a name with its folders.
        depth: parts of a name, the file's own included.
        ratio: unpacked over packed bytes of the whole archive, which is taken for a megabyte where
            it is smaller; volumes are packed already, and zeros alone reach a thousand.
    """

    entries: int = 20_000
    total_bytes: int = 2**37
    file_bytes: int = 2**33 - 1  # also the largest size that a plain tar header can declare
    path_characters: int = 240
    depth: int = 6
    ratio: int = 100

    def unpacked_bytes(self, packed_bytes: int) -> int:
        """Return how many bytes an archive of ``packed_bytes`` may hold in all."""
        return min(self.total_bytes, self.ratio * max(packed_bytes, 2**20))


def refused(archive: Path, problem: str) -> BadInput:
    """Return the error for an archive that is damaged, hostile or over a limit."""
    cure = "download it again from its publisher; an archive that stays so is not to be trusted"
    return BadInput("E_ARCHIVE", archive, problem, cure)
