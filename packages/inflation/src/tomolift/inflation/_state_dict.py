"""Tensors only: the state of a 2D network becomes that of its 3D twin, name by name."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ._phases import Phases, depth_phases, inflate_phases
from ._strategies import Strategy, resolve_strategy
from .errors import ShapeMismatchError, StrategyError, UnsupportedLayerError

StateDict = Mapping[str, Tensor]


def inflate_state_dict(
    state_2d: StateDict,
    like: nn.Module | StateDict | None = None,
    strategy: str | Strategy = "average",
) -> dict[str, Tensor]:
    """The state dict that gives a 3D network the filters of a 2D one.

    A convolution filter (out, in, height, width) becomes (out, in, depth, height, width); all
    other tensors (biases, BatchNorm weight, bias and running statistics) are copied. A missing
    `num_batches_tracked` starts at 0.

    Args:
        state_2d: names and tensors of the 2D network. It is not changed.
        like: the 3D network, or its state dict: says which names are wanted, how many taps each
            filter has, and the dtype. None: every 4-D tensor of floating point is taken for the
            filter of a convolution and gets as many taps as it is high, so 1x1 becomes 1x1x1; the
            filter of a transposed one needs `like` as a module (its taps depend on its stride).
        strategy: a value such as `Scaling(alphas=...)` or a name, see `resolve_strategy`.
            `Random` takes nothing over and returns a copy of `like`'s own values.

    Returns:
        New tensors, in `like`'s order and dtype (without `like`: in `state_2d`'s).

    Raises:
        ShapeMismatchError: a tensor is missing, left over, or does not fit its 3D twin.
        StrategyError: the strategy is unknown, or has no taps for a filter's depth.
        UnsupportedLayerError: a filter belongs to a layer that is no convolution.

    Example:
        >>> conv2d, conv3d = nn.Conv2d(3, 8, 3), nn.Conv3d(3, 8, 3)
        >>> state = inflate_state_dict(conv2d.state_dict(), like=conv3d, strategy="zero")
        >>> conv3d.load_state_dict(state)
        <All keys matched successfully>
        >>> bool((conv3d.weight[:, :, 1] == conv2d.weight).all())
        True
    """
    resolved = resolve_strategy(strategy)
    if like is None:
        return _inflate_by_shape(state_2d, resolved)
    wanted = like.state_dict() if isinstance(like, nn.Module) else like
    if not resolved.keeps_source:
        return {name: tensor.detach().clone() for name, tensor in wanted.items()}
    left_over = [name for name in state_2d if name not in wanted]
    if left_over:
        raise ShapeMismatchError(
            f"state_2d has {len(left_over)} tensors that like lacks, first {left_over[0]!r}: "
            "inflate into a 3D network of the same architecture, or drop them"
        )
    phases = _phases_of_owners(state_2d, like) if isinstance(like, nn.Module) else {}
    return {
        name: _twin(name, state_2d, target, resolved, phases.get(name))
        for name, target in wanted.items()
    }


def tensor_report(state_2d: StateDict, state_3d: StateDict) -> list[str]:
    """A line per tensor of `state_3d`: its shapes and what became of it.

    Example:
        >>> state = {"weight": torch.ones(1, 1, 3, 3), "bias": torch.zeros(1)}
        >>> for line in tensor_report(state, inflate_state_dict(state, strategy="zero")):
        ...     print(line)
        weight: (1, 1, 3, 3) -> (1, 1, 3, 3, 3), depth taps sum to the 2D filter
        bias: (1,) copied
    """
    return [_line(name, state_2d.get(name), tensor) for name, tensor in state_3d.items()]


def _inflate_by_shape(state_2d: StateDict, strategy: Strategy) -> dict[str, Tensor]:
    if not strategy.keeps_source:
        raise StrategyError(
            "strategy='random' keeps the values of like, and like is None: pass like=net3d"
        )
    return {
        name: strategy.inflate_weight(tensor, tensor.shape[2])
        if tensor.ndim == 4 and tensor.is_floating_point()
        else tensor.detach().clone()
        for name, tensor in state_2d.items()
    }


def _twin(
    name: str, state_2d: StateDict, target: Tensor, strategy: Strategy, phases: Phases | None
) -> Tensor:
    if name not in state_2d:
        if name.endswith("num_batches_tracked"):
            return torch.zeros_like(target)
        raise ShapeMismatchError(
            f"state_2d lacks {name!r}, which like has: inflate from the same architecture"
        )
    source = state_2d[name].detach()
    if source.shape == target.shape:
        return source.to(target.dtype, copy=True)
    without_depth = (*target.shape[:2], *target.shape[3:])
    if target.ndim != 5 or source.shape != without_depth:
        raise ShapeMismatchError(
            f"{name!r} is {tuple(source.shape)} in 2D and {tuple(target.shape)} in like, which is "
            f"no 3D twin of it: change like, or adapt the tensor (adapt_in_channels for a stem)"
        )
    if phases is not None:
        return inflate_phases(strategy, source.to(target.dtype), phases)
    return strategy.inflate_weight(source.to(target.dtype), target.shape[2])


def _phases_of_owners(state_2d: StateDict, like: nn.Module) -> dict[str, Phases]:
    """Phases of every transposed filter; what is no filter (a position table) is refused."""
    found = {}
    for module_name, module in like.named_modules(remove_duplicate=False):
        for leaf, tensor in module._parameters.items():
            name = f"{module_name}.{leaf}" if module_name else leaf
            if tensor is None or name not in state_2d or tensor.ndim == state_2d[name].ndim:
                continue
            if isinstance(module, nn.ConvTranspose3d):
                found[name] = _phases(name, module)
            elif not isinstance(module, nn.Conv3d):
                raise UnsupportedLayerError(
                    f"{name!r} belongs to a {type(module).__name__}, and only filters of Conv3d "
                    "and ConvTranspose3d are inflated: leave it out of state_2d and like, and set "
                    "it yourself"
                )
    return found


def _phases(name: str, module: nn.ConvTranspose3d) -> Phases:
    phases = depth_phases(module.kernel_size[0], module.stride[0], module.dilation[0])
    if () in phases:
        raise UnsupportedLayerError(
            f"{name!r} has no depth tap for {phases.count(())} of {module.stride[0]} slices: give "
            "it a depth kernel of at least its depth stride"
        )
    return phases


def _line(name: str, source: Tensor | None, result: Tensor) -> str:
    shape = tuple(result.shape)
    if source is None:
        return f"{name}: {shape} not in the 2D state"
    source = source.to(result.dtype)
    if source.shape == result.shape:
        return f"{name}: {shape} {'copied' if torch.equal(source, result) else 'not taken over'}"
    change = f"{name}: {tuple(source.shape)} -> {shape}"
    error = (result.double().sum(2) - source.double()).abs().max()
    if error <= _rounding(source, result.shape[2]):
        return f"{change}, depth taps sum to the 2D filter"
    return f"{change}, depth taps do not sum to the 2D filter"


def _rounding(source: Tensor, taps: int) -> float:
    """How far the sum of rounded taps may be from the filter; strategies keep a sum to 1e-6."""
    limits = torch.finfo(source.dtype)
    largest = max(source.abs().max().item(), limits.smallest_normal)  # below it steps are equal
    return max(1e-6, taps * limits.eps) * largest
