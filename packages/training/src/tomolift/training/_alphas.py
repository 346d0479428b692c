"""The scaling arm's alphas as four free numbers: symmetric, positive, their sum 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# Alphas are rounded to this many decimals and are at least one unit of them: a row's name holds
# them, and a tap of exactly 0 is another arm's.
_DECIMALS = 4
LOWEST, HIGHEST = 0.02, 0.98


@dataclass(frozen=True, kw_only=True)
class Alphas:
    """Multiples of a 2D filter for its depth taps, first slice to last."""

    three: tuple[float, ...]
    seven: tuple[float, ...]

    @property
    def arm(self) -> str:
        """The name of the row that is initialised with them."""
        texts = [":".join(f"{alpha:g}" for alpha in each) for each in (self.three, self.seven)]
        return f"scaling+alphas_3={texts[0]}+alphas_7={texts[1]}"


# What each share is a share of: of all, of all, and of what the ones before it left.
SHARES = ("middle_3", "middle_7", "inner_7", "outer_7")

# The paper's two rules as shares, and equal taps (its averaging).
KNOWN: dict[str, dict[str, float]] = {
    "paper": {"middle_3": 0.5, "middle_7": 0.3, "inner_7": 4 / 7, "outer_7": 2 / 3},
    "average": {"middle_3": 1 / 3, "middle_7": 1 / 7, "inner_7": 1 / 3, "outer_7": 1 / 2},
}


def alphas_from_shares(shares: Mapping[str, float]) -> Alphas:
    """Alphas by breaking a stick: any shares within LOWEST..HIGHEST give valid ones.

    Args:
        shares: `middle_3` of three taps goes to the middle one. `middle_7` of seven goes to the
            middle one, `inner_7` of the rest to the pair beside it, `outer_7` of what is left to
            the next pair and the remainder to the ends.

    Example:
        >>> alphas_from_shares(KNOWN["paper"]).seven
        (0.05, 0.1, 0.2, 0.3, 0.2, 0.1, 0.05)
    """
    rest = 1 - shares["middle_7"]
    inner = rest * shares["inner_7"]
    outer = (rest - inner) * shares["outer_7"]
    return Alphas(
        three=_symmetric((1 - shares["middle_3"],)),
        seven=_symmetric((rest - inner - outer, outer, inner)),
    )


def _symmetric(pairs: tuple[float, ...]) -> tuple[float, ...]:
    """Half of each pair on either side, from the ends inwards; the middle takes what is left."""
    unit = 10.0**-_DECIMALS
    halves = tuple(max(round(pair / 2, _DECIMALS), unit) for pair in pairs)
    middle = round(1 - 2 * sum(halves), _DECIMALS)
    return (*halves, middle, *reversed(halves))
