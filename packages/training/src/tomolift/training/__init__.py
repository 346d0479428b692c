"""The 2D to 3D transfer experiment: arms, training, evaluation, report.

Importing this package does not import torch; `reproduce` and `score` do, when first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._arms import ARMS as ARMS
from ._arms import Arm as Arm
from ._config import ComparisonConfig as ComparisonConfig
from ._config import Config as Config
from ._config import DataConfig as DataConfig
from ._profile import config_from_json as config_from_json
from ._profile import load_profile as load_profile
from ._scores import Scores as Scores
from ._training_config import TrainingConfig as TrainingConfig
from .errors import ConfigError as ConfigError
from .errors import DamagedCheckpointError as DamagedCheckpointError
from .errors import NonFiniteLossError as NonFiniteLossError
from .errors import PredictionError as PredictionError

if TYPE_CHECKING:
    from ._experiment import reproduce as reproduce
    from ._metrics import score as score

_NEEDS_TORCH = {"reproduce": "._experiment", "score": "._metrics"}


def __getattr__(name: str) -> Any:
    if name not in _NEEDS_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_NEEDS_TORCH[name], __name__), name)
