"""Does the 3D network still answer as the 2D one? Measured per layer and per slice."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ._copy import copy_network
from ._dry_run import made_up_slices
from ._outputs import leaves, tensor_pairs
from ._report import CONTRACTS, Contract, InflationReport, LayerError, largest
from .errors import DepthCollapsedError, InflationError, ShapeMismatchError

Receive = Callable[[tuple[str, int], Any], None]


def check_inflation(
    net2d: nn.Module,
    net3d: nn.Module,
    *,
    depth: int = 16,
    contract: Literal["auto"] | Contract = "auto",
    tolerance: float = 1e-5,
    example: Float[Tensor, "batch channel height width"] | None = None,
    seed: int = 0,
) -> InflationReport:
    """Run both networks in eval mode, on copies, and compare every layer.

    The contracts, from the strongest: "slicewise", on a random volume the 3D network equals the 2D
    one slice by slice (every s-th slice where the depth is strided); "constant_volume", equal at
    every slice of a volume that repeats one slice; "interior_only", equal at its middle slice,
    which needs a depth beyond the receptive field where the ends are padded with zeros.

    Args:
        net2d: the 2D network.
        net3d: its 3D twin, with the same module names.
        depth: number of slices of the volume.
        contract: the one to check, or "auto": the strongest that holds.
        tolerance: bound on max|3D - 2D| / max|2D|, the maximum of 2D over all slices.
        example: slices that the 2D network accepts, of which the first is used for its shape,
            dtype and device; made up by default.
        seed: of the random volume.

    Returns:
        The report; `report.require()` raises where no contract holds.

    Raises:
        DepthCollapsedError: the 3D network runs out of slices at this depth.
        ShapeMismatchError: the outputs are no tensors of matching ranks, or the outputs of the
            networks or of two layers differ in structure.
        InflationError: an unknown contract, a depth below 1.

    Example:
        >>> from tomolift.inflation import inflate
        >>> net2d = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8))
        >>> check_inflation(net2d, inflate(net2d, "zero")).contract
        'slicewise'
        >>> check_inflation(net2d, inflate(net2d, "average")).contract
        'constant_volume'
    """
    if depth < 1:
        raise InflationError(f"depth={depth}: use 1 or more slices")
    if contract != "auto" and contract not in CONTRACTS:
        raise InflationError(f"contract={contract!r}: use 'auto' or one of {', '.join(CONTRACTS)}")
    slices = (made_up_slices(net2d) if example is None else example)[:1]
    generator = torch.Generator().manual_seed(seed)
    volume = torch.randn(depth, *slices.shape[1:], generator=generator).to(slices)
    net2d, net3d = copy_network(net2d).eval(), copy_network(net3d).eval()
    tried = CONTRACTS if contract == "auto" else (contract,)
    layers: tuple[LayerError, ...] = ()
    for candidate in tried:
        if candidate != "interior_only" or not layers:  # measured with constant_volume already
            source = volume if candidate == "slicewise" else volume[:1]
            layers = _measure(net2d, net3d, source, depth)
        if layers[-1].per_slice and _error(layers[-1], candidate) <= tolerance:
            return InflationReport(candidate, contract, depth, tolerance, layers)
    return InflationReport(None, contract, depth, tolerance, layers)


def _error(layer: LayerError, contract: Contract) -> float:
    return layer.middle if contract == "interior_only" else layer.worst


def _measure(
    net2d: nn.Module, net3d: nn.Module, slices: Tensor, depth: int
) -> tuple[LayerError, ...]:
    """Errors of all layers on these slices: as many as `depth`, or one to be repeated."""
    expected: dict[tuple[str, int], dict[str, Any]] = {}
    errors: list[LayerError] = []

    def keep(key: tuple[str, int], output: Any) -> None:
        # cloned, because the next layer may work in place
        expected[key] = {
            place: leaf.clone() if isinstance(leaf, Tensor) else leaf
            for place, leaf in leaves(output).items()
        }

    def compare(key: tuple[str, int], output: Any) -> None:
        if key not in expected:  # a module or a call of the 3D network's own
            return
        name = repr(key[0]) if key[0] else "output"
        pairs = tensor_pairs(expected[key], leaves(output), name)
        compared = [_per_slice(reference, result) for _, reference, result in pairs]
        if compared or not key[0]:
            errors.append(LayerError(key[0], _worst_of(compared)))

    volume = slices.expand(depth, -1, -1, -1).transpose(0, 1).unsqueeze(0)
    with torch.no_grad():
        with _outputs_to(net2d, keep):
            net2d(slices)
        with _outputs_to(net3d, compare):
            _run_3d(net3d, volume, depth)
    if not errors[-1].per_slice and len(slices) == 1:
        raise ShapeMismatchError(
            "the outputs of net2d and net3d cannot be compared slice by slice: pass networks whose "
            "outputs are maps (N, C, H, W) and (N, C, D, H, W), or vectors (N, C)"
        )
    return tuple(errors)


def _run_3d(net3d: nn.Module, volume: Tensor, depth: int) -> None:
    try:
        net3d(volume)
    except RuntimeError as error:
        message = str(error)
        if "ernel size" in message or "too small" in message:
            raise DepthCollapsedError(
                f"net3d runs out of slices at depth={depth} ({message.splitlines()[0]}): use a "
                "greater depth, or inflate with depth_stride=1"
            ) from error
        raise


def _per_slice(reference: Tensor, result: Tensor) -> tuple[float, ...]:
    """Relative error of each 3D slice: infinite for sizes, empty for ranks that do not correspond.

    Args:
        reference: (n, C, H, W) or (n, C), where n is the number of slices, or 1.
        result: (1, C, D, H, W) or (1, C).
    """
    if reference.ndim == 4 and result.ndim == 5:
        result = result[0].transpose(0, 1)
    elif reference.ndim != 2 or result.ndim != 2 or len(reference) != 1:
        return ()
    chosen = _corresponding(len(reference), len(result))
    if chosen is None or reference.shape[1:] != result.shape[1:]:
        return (math.inf,)
    difference = (result - reference[chosen]).abs().flatten(1).amax(1)
    scale = reference.abs().max()
    return tuple((difference / scale.clamp_min(torch.finfo(scale.dtype).tiny)).tolist())


def _corresponding(num_slices: int, num_results: int) -> list[int] | None:
    """Index of the 2D slice that each 3D slice is centred on; None where there is none.

    A padded network of depth stride s answers for every s-th slice, one without padding for the
    middle ones.
    """
    if num_slices == 1:
        return [0] * num_results
    lost = num_slices - num_results
    if lost >= 0 and lost % 2 == 0 and num_results > num_slices / 2:
        return list(range(lost // 2, lost // 2 + num_results))
    for stride in range(2, num_slices + 1):
        if len(range(0, num_slices, stride)) == num_results:
            return list(range(0, num_slices, stride))
    return None


@contextmanager
def _outputs_to(net: nn.Module, receive: Receive) -> Iterator[None]:
    """Hand the output of every module, with its name and the number of the call, to `receive`."""
    calls: dict[str, int] = {}

    def hook(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def on_output(module: nn.Module, inputs: Any, output: Any) -> None:
            calls[name] = calls.get(name, -1) + 1
            receive((name, calls[name]), output)

        return on_output

    handles = [module.register_forward_hook(hook(name)) for name, module in net.named_modules()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _worst_of(compared: list[tuple[float, ...]]) -> tuple[float, ...]:
    """Slice by slice the largest error of several outputs.

    An output of fewer slices (a coarser level, a vector) counts at every slice that it stands for,
    so that none is passed over.
    """
    found = [errors for errors in compared if errors]
    longest = max((len(errors) for errors in found), default=0)
    return tuple(
        largest(tuple(errors[position * len(errors) // longest] for errors in found))
        for position in range(longest)
    )
