"""tomolift.models: ResNets and U-Nets, 2D and 3D from one definition, and checkpoint readers."""

from __future__ import annotations

from ._checkpoints import Checkpoint as Checkpoint
from ._checkpoints import read_checkpoint as read_checkpoint
from ._dilated_resnet import DilatedResNet as DilatedResNet
from ._dilated_resnet import DilatedResNet18 as DilatedResNet18
from ._dilated_resnet import DilatedResNet34 as DilatedResNet34
from ._dilated_resnet import DilatedResNet50 as DilatedResNet50
from ._files import write_checkpoint as write_checkpoint
from ._load import LoadReport as LoadReport
from ._load import load_pretrained as load_pretrained
from ._unet import UNet as UNet
from .errors import CheckpointError as CheckpointError
