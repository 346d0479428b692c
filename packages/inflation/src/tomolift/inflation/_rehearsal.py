"""A conversion on tensors without storage: what would become of every layer, and what fails."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ._convert import OnUnsupported, Replaced, replace_layers
from ._dry_run import dry_run, made_up_slices, without_storage
from ._forecast import Forecast, forecast_network
from ._plan_layer import LayerPlan, plan_exception, plan_layer
from ._receptive_field import FieldTracer, ReceptiveField
from ._rules import RuleBook
from .errors import InflationError


@dataclass(frozen=True)
class Rehearsal:
    """What a plan is made of; see `InflationPlan`."""

    layers: tuple[LayerPlan, ...]
    forecast: Forecast
    receptive_field: ReceptiveField | None
    problem: str


def rehearse(
    bare_2d: nn.Module, book: RuleBook, slices: Tensor, on_unsupported: OnUnsupported
) -> Rehearsal:
    """Convert a network without storage and write down what happens.

    Args:
        bare_2d: the 2D network on the meta device.
        book: the rules.
        slices: a batch that it accepts, on the meta device.
        on_unsupported: "raise" or "slicewise".
    """
    replaced = replace_layers(bare_2d, book)
    rows = _rows(bare_2d, replaced, book)
    forecast = forecast_network((row.name, row.forecast) for row in rows)
    if replaced.refusals:
        return Rehearsal(rows, forecast, None, "")
    try:
        dry_run(bare_2d, replaced.net3d, slices)
    except InflationError as error:
        return Rehearsal(rows, forecast, None, str(error))
    return Rehearsal(rows, forecast, _receptive_field(replaced.net3d, slices), "")


def without_data(net2d: nn.Module, example: Tensor | None) -> tuple[nn.Module, Tensor]:
    """A copy of a 2D network and a batch that it accepts, both on the meta device."""
    bare = without_storage(net2d)
    slices = made_up_slices(bare) if example is None else example
    return bare, torch.empty_like(slices, device="meta")


def _rows(bare_2d: nn.Module, replaced: Replaced, book: RuleBook) -> tuple[LayerPlan, ...]:
    modules = dict(bare_2d.named_modules(remove_duplicate=False))
    twins = dict(replaced.net3d.named_modules(remove_duplicate=False))
    rows = []
    for name in replaced.layers:
        rules = book.rules(name)
        if name in replaced.refusals:
            reason = str(replaced.refusals[name])
            rows.append(plan_exception(name, modules[name], rules, "refused", reason))
        else:
            rows.append(plan_layer(name, modules[name], twins[name], rules))
    return tuple(rows)


def _receptive_field(net3d: nn.Module, slices: Tensor) -> ReceptiveField | None:
    depth = slices.shape[2]
    with torch.device("meta"), torch.no_grad():
        volume = slices.unsqueeze(2).expand(-1, -1, depth, -1, -1).clone()
        tracer = FieldTracer(volume)
        with tracer:
            output = without_storage(net3d)(volume)
    return tracer.of(output)
