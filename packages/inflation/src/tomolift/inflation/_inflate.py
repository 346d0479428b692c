"""A 2D network becomes a 3D one: a copy whose layers are replaced one by one."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from fnmatch import fnmatchcase

from jaxtyping import Float
from torch import Tensor, nn

from ._depth import DepthPadding, Layer, SameOr
from ._dry_run import dry_run
from ._strategies import Strategy, resolve_strategy
from .errors import InflationError, StrategyError
from .layers import inflate_layer

AnyStrategy = str | Strategy


def inflate(
    net2d: nn.Module,
    strategy: AnyStrategy = "average",
    *,
    depth_kernel: SameOr = "same",
    depth_stride: SameOr = "same",
    depth_padding: DepthPadding = "replicate",
    overrides: Mapping[str, AnyStrategy] | None = None,
    example: Float[Tensor, "batch channel height width"] | None = None,
) -> nn.Module:
    """A network for volumes (N, C, D, H, W) from one for slices (N, C, H, W).

    The source is not touched. Parameter names stay, and so do train/eval mode, dtype, device,
    requires_grad and shared modules; the result is an ordinary module. Layers are recognised by
    exact type (see `register_layer`); what is not known to be right in 3D is refused by its dotted
    name. Calls inside a `forward` are watched in a dry run without data: write them for any rank,
    such as `F.interpolate` with its mode chosen by `x.ndim`.

    Args:
        net2d: the 2D network.
        strategy: "average", "zero" (= "center"), "scaling", "random", "triangular", "negative",
            or a value such as `Scaling(alphas=...)`.
        depth_kernel: taps of every filter that is not 1x1; "same" as its height.
        depth_stride: depth stride wherever the network strides; "same" as along the height, 1
            keeps every slice: strided convolutions are padded so, pools see one slice only, and
            adaptive pools of several cells leave the depth alone (one of a single cell is still
            the mean or maximum of the volume).
        depth_padding: what padded convolutions find beyond the end slices. "replicate" keeps a
            depth-constant volume exact at every slice, "zeros" (the paper) spoils the ends.
        overrides: strategy by dotted name, as a glob, such as {"layer4": "zero"}; for each layer
            the first counts that matches its name or that of a module around it.
        example: a batch that the 2D network accepts, for the dry run; made up by default.

    Returns:
        The 3D network.

    Raises:
        UnsupportedLayerError, UnsupportedFunctionError: something has no known 3D form.
        StrategyError: an unknown strategy, or one without taps for a kernel; an override that
            decides no layer, or two that give a shared filter different strategies.
        ShapeMismatchError: the 3D network's output is not the 2D one's with a depth.
        InflationError: another argument is out of range.

    Example:
        >>> import torch
        >>> net2d = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        >>> net3d = inflate(net2d, "scaling")
        >>> net3d(torch.ones(1, 3, 6, 16, 16)).shape
        torch.Size([1, 8, 6, 16, 16])
    """
    _check_arguments(depth_kernel, depth_stride, depth_padding)
    default = resolve_strategy(strategy)
    by_glob = {glob: resolve_strategy(value) for glob, value in (overrides or {}).items()}
    layer = Layer("", default, depth_kernel, depth_stride, depth_padding)
    replacer = _Replacer(layer, by_glob)
    replacer.check_shared(net2d)
    net3d = replacer.replace(copy.deepcopy(net2d), "")
    replacer.check_globs()
    dry_run(net2d, net3d, example)
    return net3d


class _Replacer:
    """Walks a network and keeps what it has replaced, so that shared modules stay shared."""

    def __init__(self, layer: Layer, by_glob: Mapping[str, Strategy]) -> None:
        self._layer = layer
        self._by_glob = by_glob
        self._unused_globs = set(by_glob)
        self._replaced: dict[int, tuple[nn.Module, nn.Module]] = {}

    def replace(self, module: nn.Module, name: str) -> nn.Module:
        """The 3D twin of `module`, which belongs to this walk and is changed."""
        glob, strategy = self._override(name)
        if id(module) in self._replaced:
            self._unused_globs.discard(glob)
            return self._replaced[id(module)][1]
        twin = inflate_layer(module, self._layer.at(name, strategy))
        if twin is None:
            twin = module
            for child_name, child in module._modules.items():
                if child is not None:
                    dotted = f"{name}.{child_name}" if name else child_name
                    module._modules[child_name] = self.replace(child, dotted)
        else:
            self._unused_globs.discard(glob)
        # the original is kept beside its twin, lest its id be given to another module
        self._replaced[id(module)] = (module, twin)
        return twin

    def check_globs(self) -> None:
        """An override that decides no layer is a mistake."""
        if self._unused_globs:
            raise StrategyError(
                f"overrides: {min(self._unused_globs)!r} decides no layer: use a dotted name of "
                "named_modules() or a glob over them, before the globs that match the same layers"
            )

    def check_shared(self, net2d: nn.Module) -> None:
        """A parameter under several names is inflated once, so they need one strategy."""
        first: dict[int, tuple[str, Strategy]] = {}
        for name, parameter in net2d.named_parameters(remove_duplicate=False):
            module, _, leaf = name.rpartition(".")
            strategy = self._override(module)[1]
            other, others = first.setdefault(id(parameter), (module, strategy))
            if strategy != others:
                raise StrategyError(
                    f"overrides: {module!r} shares its {leaf!r} with {other!r}, but is given "
                    f"{strategy} and that {others}: give both the same strategy"
                )

    def _override(self, name: str) -> tuple[str, Strategy]:
        """The glob that decides the module of this name, and its strategy; "" where none does."""
        parts = name.split(".")
        around = [".".join(parts[:length]) for length in range(1, len(parts) + 1)]
        for glob, strategy in self._by_glob.items():
            if any(fnmatchcase(each, glob) for each in around):
                return glob, strategy
        return "", self._layer.strategy


def _check_arguments(depth_kernel: SameOr, depth_stride: SameOr, depth_padding: str) -> None:
    for argument, value in (("depth_kernel", depth_kernel), ("depth_stride", depth_stride)):
        if value != "same" and (not isinstance(value, int) or value < 1):
            raise InflationError(f"{argument}={value!r}: use 'same' or a number of 1 or more")
    if depth_padding not in ("zeros", "replicate"):
        raise InflationError(f"depth_padding={depth_padding!r}: use 'zeros' or 'replicate'")
