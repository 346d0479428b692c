"""tomolift.models: 2D and 3D dilated ResNets from one definition, and checkpoint readers."""

from __future__ import annotations

from ._dilated_resnet import DilatedResNet18 as DilatedResNet18
