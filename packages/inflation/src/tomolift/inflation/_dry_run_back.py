"""Run a deflated network once without data, and turn whatever fails into an error that names it."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ._dry_run import dry_run, first_line, locate, run_made_up, without_storage
from .errors import InflationError, ShapeMismatchError, UnsupportedFunctionError


def dry_run_back(
    net3d: nn.Module,
    net2d: nn.Module,
    example: Float[Tensor, "batch channel depth height width"] | None,
) -> None:
    """Check that the 2D network runs, and then that the 3D one is a lift of it.

    Raises:
        UnsupportedFunctionError: a call in a `forward` fails on slices, or acts on some axes of a
            volume only.
        ShapeMismatchError: a layer gets a shape it was not made for, or the outputs differ in
            more than the depth.
        InflationError: the 3D network itself runs on no made-up volume.
    """
    bare_2d = without_storage(net2d)
    with torch.device("meta"), torch.no_grad():
        volume = example
        if volume is None:
            volume, _ = run_made_up(without_storage(net3d), num_axes=3)
        slices = torch.empty_like(volume[:, :, 0], device="meta")
        try:
            bare_2d(slices)
        except Exception as error:
            names = {id(module): name for name, module in bare_2d.named_modules()}
            raise _explain(error, names) from error
    dry_run(net2d, net3d, slices)


def _explain(error: Exception, names: dict[int, str]) -> InflationError:
    """Say which module failed, and on which line where its `forward` is the user's."""
    module, named, where = locate(error, names)
    kind = type(module)
    if kind.__module__.startswith("torch."):
        return ShapeMismatchError(
            f"{named} ({kind.__name__}) does not accept its input in 2D ({first_line(error)}): "
            "deflate a network without it"
        )
    return UnsupportedFunctionError(
        f"{named} ({kind.__name__}.forward{where}) does not work in 2D ({first_line(error)}): "
        "write the call for any rank"
    )
