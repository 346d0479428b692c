"""The contrasts that are tested, declared before any run: they depend on names, not on scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .._arm_text import arm_named
from ..errors import ConfigError

# "Best 3D against 2D" needs a best. Chosen by the very scores that are tested it would win by luck
# too, so it is the paper's best arm (Table 1), whichever turns out best here.
_BEST_3D = "average"


@dataclass(frozen=True)
class Contrast:
    """Two arms, and what their difference answers.

    Attributes:
        first: an arm.
        second: the arm that is subtracted.
        question: what a positive difference says.
    """

    first: str
    second: str
    question: str


def declared_contrasts(arms: Sequence[str]) -> list[Contrast]:
    """The contrasts between the arms of a comparison, in the order they are reported.

    Every initialisation from 2D weights against random; averaging against scaling; the paper's
    best 3D arm, averaging, against the 2D network and against the one that was trained on for the
    same epochs; every row with a setting of its own against the same row without.

    Example:
        >>> [(c.first, c.second) for c in declared_contrasts(["2d", "random", "zero", "average"])]
        [('zero', 'random'), ('average', 'random'), ('average', '2d')]
    """
    wanted = [
        Contrast(arm, "random", "do 2D weights help?") for arm in arms if _is_initialisation(arm)
    ]
    wanted += [
        Contrast("average", "scaling", "averaging or scaling?"),
        Contrast(_BEST_3D, "2d", "does the paper's best 3D arm beat 2D?"),
        Contrast(_BEST_3D, "2d-continued", "and 2D trained for as many epochs?"),
    ]
    wanted += [
        Contrast(arm, arm.split("+")[0], "does the setting matter?") for arm in arms if "+" in arm
    ]
    return [each for each in wanted if {each.first, each.second} <= set(arms)]


def _is_initialisation(name: str) -> bool:
    """Whether it is a plain 3D arm that takes 2D weights."""
    try:
        arm = arm_named(name)
    except ConfigError:
        return False  # a baseline, or a row that somebody added to the CSV
    return arm.spatial_dims == 3 and arm.strategy is not None and "+" not in name
