"""Judging predictions: overlap and surfaces, of anyone's label files or of a finished run."""

from ._folders import evaluate_folders as evaluate_folders
from ._outcome import Evaluation as Evaluation
from ._outcome import write_evaluation as write_evaluation
from ._rules import EMPTY_SET_RULES as EMPTY_SET_RULES
from ._rules import ClassScores as ClassScores
from ._surface import surface_scores as surface_scores
