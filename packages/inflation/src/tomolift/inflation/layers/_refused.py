"""Layers of torch that have no 3D twin, each with its reason and its cure."""

from __future__ import annotations

from typing import NoReturn

from torch import nn
from torch.nn.parallel import DistributedDataParallel

from .._depth import Layer
from ._registry import register_layer

_REASONS: dict[tuple[type[nn.Module] | str, ...], tuple[str, str]] = {
    (
        nn.LazyConv2d,
        nn.LazyConvTranspose2d,
        nn.LazyBatchNorm2d,
        nn.LazyInstanceNorm2d,
        nn.LazyLinear,
        nn.LazyConv1d,
        nn.LazyBatchNorm1d,
    ): ("has no shapes yet", "run the 2D network once, then inflate it"),
    (nn.FractionalMaxPool2d,): (
        "draws its regions anew at every call, and in another order for a volume",
        "use MaxPool2d or AdaptiveMaxPool2d",
    ),
    (nn.MaxUnpool2d,): (
        "puts values back to positions counted in a slice",
        "use Upsample or ConvTranspose2d",
    ),
    (nn.Fold, nn.Unfold): (
        "turns the patches of a slice into a row of columns",
        "use a convolution, or register the module around it",
    ),
    (nn.CrossMapLRN2d,): ("works on slices only", "use LocalResponseNorm"),
    (nn.Unflatten,): (
        "counts axes of a slice",
        "register the module around it, with a call for any rank",
    ),
    (nn.DataParallel, DistributedDataParallel): (
        "spreads a network over devices",
        "inflate the network inside, net.module, and wrap the result",
    ),
    # by name, because to import it takes torch seconds
    ("torch._dynamo.eval_frame.OptimizedModule",): (
        "is compiled for slices",
        "inflate the network inside, net._orig_mod, and compile the result",
    ),
}


def _register(kinds: tuple[type[nn.Module] | str, ...], reason: str, cure: str) -> None:
    @register_layer(*kinds)
    def refuse(module: nn.Module, layer: Layer) -> NoReturn:
        raise layer.refuse(f"{type(module).__name__} {reason}", cure)


for _kinds, (_reason, _cure) in _REASONS.items():
    _register(_kinds, _reason, _cure)
