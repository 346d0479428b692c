"""A 2D network becomes a 3D one: a copy whose layers are replaced one by one."""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor, nn

from ._convert import check_network, convert
from ._depth import DepthPadding, SameOr
from ._in_channels import adapt_stem, with_channels
from ._rehearsal import without_data
from ._rules import AnyStrategy, LayerRules, Override, RuleBook
from ._spacing import Spacing, check_spacing, rules_by_spacing
from ._strategies import resolve_strategy


def inflate(
    net2d: nn.Module,
    strategy: AnyStrategy = "average",
    *,
    depth_kernel: SameOr = "same",
    depth_stride: SameOr = "same",
    depth_padding: DepthPadding = "replicate",
    in_channels: int | None = None,
    spacing_mm: Spacing | None = None,
    overrides: Mapping[str, AnyStrategy | Override] | None = None,
    example: Float[Tensor, "batch channel height width"] | None = None,
) -> nn.Module:
    """A network for volumes (N, C, D, H, W) from one for slices (N, C, H, W).

    Does what `plan_inflation` with the same arguments shows.

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
        in_channels: of the 3D network: the first convolution's filter becomes the sum over its
            channels, shared by the new ones, which answers equal channels (grey images) exactly as
            before. None: as in 2D. See `adapt_in_channels` for other ways.
        spacing_mm: of the volumes, (z, y, x): no depth kernel or stride while the spacing between
            slices is more than twice that in the plane at that level. `plan_inflation` shows what
            comes of it; overrides still count.
        overrides: a strategy or an `Override` by dotted name, as a glob, such as {"layer4": "zero",
            "conv1": Override(depth_kernel=3)}; for each layer the first counts that matches its
            name or that of a module around it.
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
    check_network(net2d)
    rules = LayerRules(resolve_strategy(strategy), depth_kernel, depth_stride, depth_padding)
    spacing = None if spacing_mm is None else check_spacing(spacing_mm)
    by_name: Mapping[str, LayerRules] = {}
    if in_channels is not None or spacing is not None:
        bare, slices = without_data(net2d, example)
        net2d = adapt_stem(net2d, in_channels, slices)
        by_name = rules_by_spacing(bare, slices, spacing, rules) if spacing else {}
        example = with_channels(slices, in_channels)
    return convert(net2d, RuleBook(rules, overrides or {}, by_name), example).net3d
