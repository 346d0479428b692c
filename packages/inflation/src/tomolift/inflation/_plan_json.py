"""A plan as JSON text: the rules of every layer, and beside them what follows from them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ._convert import OnUnsupported, check_on_unsupported
from ._plan_layer import LayerPlan, describe_depth
from ._rules import LayerRules
from ._spacing import Spacing, check_spacing
from ._strategies import Strategy
from ._strategy_json import strategy_from_json, strategy_to_json
from .errors import InflationError

if TYPE_CHECKING:
    from ._plan import InflationPlan

_FORMAT = "tomolift.inflation.plan"
# Goes up when a plan of today could no longer be read as it was meant.
_VERSION = 1
_RULES = ("strategy", "depth_kernel", "depth_stride", "depth_padding")


@dataclass(frozen=True)
class StoredPlan:
    """What a plan's JSON says: the arguments of the call, and type and rules of every layer."""

    defaults: LayerRules
    in_channels: int | None
    spacing_mm: Spacing | None
    on_unsupported: OnUnsupported
    kinds: Mapping[str, str]
    rules: Mapping[str, LayerRules]


def plan_to_json(plan: InflationPlan) -> str:
    """The plan as JSON text.

    Raises:
        StrategyError: a strategy has no JSON form.
    """
    content = {
        "format": _FORMAT,
        "version": _VERSION,
        "in_channels": plan.in_channels,
        "spacing_mm": plan.spacing_mm,
        "on_unsupported": plan.on_unsupported,
        "defaults": _rules_to_json(plan.defaults),
        "layers": [_layer_to_json(row) for row in plan.layers],
        "result": {
            "contract": plan.forecast.contract,
            "spoiler": plan.forecast.spoiler,
            "reason": plan.forecast.reason,
            "receptive_field": _cells(plan),
            "problem": plan.problem,
        },
    }
    return json.dumps(content, indent=2, allow_nan=False)


def rules_from_json(text: str) -> StoredPlan:
    """What `plan_to_json` has written, checked.

    Raises:
        InflationError: it is no plan, or a value in it is out of range.
    """
    try:
        content = json.loads(text)
    except ValueError as error:
        raise InflationError(
            f"plan: no JSON ({error}): pass what plan.to_json() returned"
        ) from error
    version = content.get("version") if isinstance(content, dict) else None
    if version is None or content.get("format") != _FORMAT:
        raise InflationError(f"plan: no JSON of {_FORMAT!r}: pass what plan.to_json() returned")
    if version != _VERSION:
        raise InflationError(
            f"plan: version={version!r}, and this is tomolift-inflation for version {_VERSION}: "
            "plan_inflation the network anew"
        )
    return _read(content)


def _read(content: dict[str, Any]) -> StoredPlan:
    memory: dict[str, Strategy] = {}
    try:
        spacing, in_channels = content["spacing_mm"], content["in_channels"]
        return StoredPlan(
            defaults=_rules_from_json(content["defaults"], memory),
            in_channels=None if in_channels is None else int(in_channels),
            spacing_mm=None if spacing is None else check_spacing(spacing),
            on_unsupported=check_on_unsupported(content["on_unsupported"]),
            kinds={layer["name"]: layer["type"] for layer in content["layers"]},
            rules={layer["name"]: _rules_from_json(layer, memory) for layer in content["layers"]},
        )
    except (KeyError, TypeError) as error:
        raise InflationError(
            f"plan: incomplete ({type(error).__name__}: {error}): pass what plan.to_json() returned"
        ) from error


def _layer_to_json(row: LayerPlan) -> dict[str, Any]:
    result = {
        "action": row.action,
        "plane": row.plane,
        "depth": describe_depth(row),
        "contract": row.forecast.contract,
        "reason": row.reason or row.forecast.reason,
    }
    return {"name": row.name, "type": row.kind, **_rules_to_json(row.rules), "result": result}


def _rules_to_json(rules: LayerRules) -> dict[str, Any]:
    values = {name: getattr(rules, name) for name in _RULES}
    return {**values, "strategy": strategy_to_json(rules.strategy)}


def _rules_from_json(value: Mapping[str, Any], memory: dict[str, Strategy]) -> LayerRules:
    """Rules, with one strategy value for all that were written alike: `Random` has one generator
    for a whole network.
    """
    key = json.dumps(value["strategy"], sort_keys=True)
    if key not in memory:
        memory[key] = strategy_from_json(value["strategy"])
    return LayerRules(memory[key], *(value[name] for name in _RULES[1:]))


def _cells(plan: InflationPlan) -> list[float | None] | None:
    """Voxels along each axis; None stands for all of them."""
    if plan.receptive_field is None:
        return None
    return [None if math.isinf(cells) else cells for cells in plan.receptive_field.size]
