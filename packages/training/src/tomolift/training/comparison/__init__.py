"""What the CSV files of a comparison say: rows, intervals, tests, curves; no torch, no weights."""

from ._analyse import Analysis as Analysis
from ._analyse import analyse as analyse
from ._contrasts import Contrast as Contrast
from ._contrasts import declared_contrasts as declared_contrasts
from ._learning import Band as Band
from ._learning import LearningCurve as LearningCurve
from ._learning import ReachedThreshold as ReachedThreshold
from ._outcome import ContrastOutcome as ContrastOutcome
from ._rows import BASELINES as BASELINES
from ._rows import Row as Row
