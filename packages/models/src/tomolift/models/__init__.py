"""tomolift.models: 2D and 3D dilated ResNets from one definition, and checkpoint readers."""

from __future__ import annotations

from ._checkpoints import Checkpoint as Checkpoint
from ._checkpoints import read_checkpoint as read_checkpoint
from ._dilated_resnet import DilatedResNet18 as DilatedResNet18
from ._files import write_checkpoint as write_checkpoint
from ._load import LoadReport as LoadReport
from ._load import load_pretrained as load_pretrained
from .errors import CheckpointError as CheckpointError
