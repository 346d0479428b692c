"""The recipe found in forks that lift one network by hand, written anew: averaging, zeros in depth.

Every layer is built anew by its constructor and filled: filters repeated along depth and divided.
"""

from __future__ import annotations

import copy

import torch
from torch import nn


@torch.no_grad()
def lift(net2d: nn.Module) -> nn.Module:
    """A copy of a network of square convolutions, batch norms, max pools and bilinear enlarging."""
    net3d = copy.deepcopy(net2d)
    for module in list(net3d.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Conv2d):
                setattr(module, name, convolution(child))
            elif isinstance(child, nn.BatchNorm2d):
                setattr(module, name, batch_norm(child))
            elif isinstance(child, nn.MaxPool2d):
                pool = nn.MaxPool3d(child.kernel_size, child.stride, child.padding)
                setattr(module, name, pool)
            elif isinstance(child, nn.Upsample):
                enlarge = nn.Upsample(scale_factor=child.scale_factor, mode="trilinear")
                setattr(module, name, enlarge)
    return net3d.train(net2d.training)


def convolution(conv2d: nn.Conv2d) -> nn.Conv3d:
    kernel, stride, padding, dilation = (
        value[0] for value in (conv2d.kernel_size, conv2d.stride, conv2d.padding, conv2d.dilation)
    )
    bias = conv2d.bias is not None
    conv3d = nn.Conv3d(
        conv2d.in_channels, conv2d.out_channels, kernel, stride, padding, dilation, bias=bias
    )
    conv3d.weight.copy_(conv2d.weight.unsqueeze(2).repeat(1, 1, kernel, 1, 1) / kernel)
    if bias:
        conv3d.bias.copy_(conv2d.bias)
    return conv3d


def batch_norm(norm2d: nn.BatchNorm2d) -> nn.BatchNorm3d:
    norm3d = nn.BatchNorm3d(norm2d.num_features, norm2d.eps, norm2d.momentum)
    norm3d.load_state_dict(norm2d.state_dict())
    return norm3d
