"""Strategies as JSON values and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch

from ._beyond_paper import ACS, Slicewise, TwoPlusOne, ZeroSumNoise
from ._strategies import (
    Average,
    Center,
    Negative,
    Random,
    Scaling,
    Strategy,
    TapStrategy,
    Triangular,
)
from .errors import StrategyError

_BY_NAME: Mapping[str, type[Strategy]] = {
    "average": Average,
    "center": Center,
    "scaling": Scaling,
    "triangular": Triangular,
    "negative": Negative,
    "random": Random,
    "zero_sum_noise": ZeroSumNoise,
    "slicewise": Slicewise,
    "two_plus_one": TwoPlusOne,
    "acs": ACS,
}


def strategy_to_json(strategy: Strategy) -> dict[str, Any]:
    """A dict of strings, numbers and lists that says all of a strategy.

    Of `Random` it keeps the seed that its generator started from, not how much of it is drawn.

    Raises:
        StrategyError: the strategy is not one of this package's.

    Example:
        >>> strategy_to_json(Scaling(alphas={3: (0.2, 0.6, 0.2)}))
        {'name': 'scaling', 'alphas': {'3': [0.2, 0.6, 0.2]}}
    """
    for name, kind in _BY_NAME.items():
        if type(strategy) is kind:
            return {"name": name, **_arguments(strategy)}
    raise StrategyError(
        f"{strategy} has no JSON form: use one of {', '.join(_BY_NAME)}, or keep the plan in memory"
    )


def strategy_from_json(value: Mapping[str, Any]) -> Strategy:
    """The strategy that `strategy_to_json` has written.

    Raises:
        StrategyError: the name is unknown, or the arguments do not fit it.

    Example:
        >>> strategy_from_json({"name": "zero_sum_noise", "scale": 0.1, "seed": 3})
        ZeroSumNoise(scale=0.1, seed=3, base=Average())
    """
    arguments = dict(value)
    name = arguments.pop("name", None)
    if name not in _BY_NAME:
        raise StrategyError(
            f"strategy {dict(value)!r} has an unknown name: use one of {', '.join(_BY_NAME)}"
        )
    try:
        return _BUILDERS.get(name, _BY_NAME[name])(**arguments)
    except StrategyError:
        raise
    except (TypeError, ValueError, AttributeError) as error:
        raise StrategyError(
            f"strategy {dict(value)!r} does not fit {name} ({error}): write it by strategy_to_json"
        ) from error


def _arguments(strategy: Strategy) -> dict[str, Any]:
    match strategy:
        case Scaling(alphas=alphas):
            return {"alphas": {str(taps): list(values) for taps, values in alphas.items()}}
        case Random(generator=generator):
            return {"seed": generator.initial_seed()}
        case ZeroSumNoise(scale=scale, seed=seed, base=base):
            return {"scale": scale, "seed": seed, "base": strategy_to_json(base)}
    return {}


def _scaling(alphas: Mapping[str, Sequence[float]]) -> Scaling:
    return Scaling({int(taps): tuple(values) for taps, values in alphas.items()})


def _random(seed: int) -> Random:
    return Random(torch.Generator().manual_seed(seed))


def _zero_sum_noise(
    scale: float, seed: int = 0, base: Mapping[str, Any] | None = None
) -> ZeroSumNoise:
    taps = Average() if base is None else strategy_from_json(base)
    return ZeroSumNoise(scale, seed, cast(TapStrategy, taps))  # which checks that it has taps


_BUILDERS: Mapping[str, Callable[..., Strategy]] = {
    "scaling": _scaling,
    "random": _random,
    "zero_sum_noise": _zero_sum_noise,
}
