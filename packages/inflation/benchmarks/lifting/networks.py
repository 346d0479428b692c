"""The networks that are lifted, with weights that no norm makes trivial."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn

from lifting.residual import resnet18, resnet50
from lifting.u_net import UNet

NETWORKS: Mapping[str, Callable[[], nn.Module]] = {
    "ResNet-18": resnet18,  # the paper's
    "ResNet-50": resnet50,
    "U-Net": UNet,
}


def network(name: str) -> nn.Module:
    """One of NETWORKS in eval mode, drawn from seed 0, its running statistics too."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = NETWORKS[name]()
        for module in made.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.running_mean, 0.0, 0.3)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
    return made.eval()


def millions(net: nn.Module) -> str:
    """Its parameters, such as 11.2 M."""
    return f"{sum(parameter.numel() for parameter in net.parameters()) / 1e6:.1f} M"
