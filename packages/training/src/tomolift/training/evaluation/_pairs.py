"""Which prediction belongs to which truth: the one of the same file name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import PredictionError

_ENDINGS = (".nii.gz", ".nii")


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Two folders side by side.

    Attributes:
        both: case -> (truth, prediction), in the order of the names.
        without_prediction: cases that only have a truth.
        without_truth: cases that only have a prediction.
    """

    both: dict[str, tuple[Path, Path]]
    without_prediction: tuple[str, ...]
    without_truth: tuple[str, ...]


def pair_files(predictions: Path, truth: Path) -> Pairs:
    """Match two folders of .nii and .nii.gz files by name; the ending may differ.

    Raises:
        PredictionError: no folder, two files of one case, or not a single pair.
    """
    predicted, true = _label_files(predictions), _label_files(truth)
    both = {case: (path, predicted[case]) for case, path in true.items() if case in predicted}
    if not both:
        raise PredictionError(
            f"{predictions}: none of its {len(predicted)} label files has the name of one of the "
            f"{len(true)} in {truth}; name predictions like their truth"
        )
    return Pairs(
        both=both,
        without_prediction=tuple(case for case in true if case not in predicted),
        without_truth=tuple(case for case in predicted if case not in true),
    )


def _label_files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise PredictionError(f"{folder}: no such folder; give one of .nii or .nii.gz files")
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        ending = next((end for end in _ENDINGS if path.name.endswith(end)), None)
        if ending is None or path.name.startswith("."):
            continue
        case = path.name.removesuffix(ending)
        if case in files:
            raise PredictionError(
                f"{path}: {files[case].name} is the same case; keep one of the two"
            )
        files[case] = path
    return files
