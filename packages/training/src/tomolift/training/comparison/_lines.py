"""Lines of a comparison's CSV files, read cell by cell; whoever edits one learns what is wrong."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError

# What a voxel count or an epoch may be: exact in float64, in which totals are resampled.
_LARGEST = 2**53


@dataclass(frozen=True)
class Line:
    """One line of a CSV file.

    Attributes:
        path: the file.
        number: of the line, the header being 1.
        cells: by column.
    """

    path: Path
    number: int
    cells: dict[str, str]

    def whole(self, column: str) -> int:
        """A whole number from 0 on."""
        text = self.cells[column]
        if not text.isascii() or not text.isdigit() or len(text) > 16 or int(text) > _LARGEST:
            raise self.error(f"{column} = {text!r}: expected a whole number from 0 on")
        return int(text)

    def number_or_none(self, column: str) -> float | None:
        """A finite number, None where the cell is empty."""
        text = self.cells[column]
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise self.error(f"{column} = {text!r}: expected a number or nothing")
        return value

    def fraction(self) -> float:
        """Share of the training cases; 1 in files that have no such column."""
        value = self.number_or_none("fraction") if "fraction" in self.cells else 1.0
        if value is None or not 0 < value <= 1:
            raise self.error(f"fraction = {self.cells['fraction']!r}: expected above 0, to 1")
        return value

    def error(self, defect: str) -> ConfigError:
        """An error that names this line."""
        return ConfigError(
            f"{self.path}, line {self.number}: {defect}; `tomolift reproduce` writes it anew"
        )


def read_lines(path: Path, *, columns: Sequence[str]) -> list[Line]:
    """The lines of a CSV file with a header; further columns are kept.

    Raises:
        ConfigError: no such file, not UTF-8, a column missing, or a line with too few cells.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            lines = [Line(path, reader.line_num, dict(cells)) for cells in reader]
            found = reader.fieldnames or ()
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path}: not there; `tomolift reproduce --out {path.parent}` writes it"
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: no CSV file ({error}); write it anew") from error
    missing = [column for column in columns if column not in found]
    if missing:
        raise ConfigError(f"{path}: column {missing[0]} is missing; it has {', '.join(found)}")
    if not lines:
        raise ConfigError(f"{path}: nothing but a header; `tomolift reproduce` writes it anew")
    for line in lines:
        if None in line.cells or None in line.cells.values():
            raise line.error(f"expected {len(found)} cells")
    return lines
