"""Draw slices so that foreground comes often enough: by label counts, no voxel is read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ._case_info import CaseInfo
from ._order import check_epoch, permutation
from .errors import BadInput


@dataclass(frozen=True, kw_only=True)
class Balance:
    """Which slices an epoch draws: a share of them shows foreground for certain.

    The other draws are of any slice. Certain draws are spread evenly: any ``n`` in a row hold
    ``n * foreground`` of them, rounded down or up. All slices of a kind are drawn once before any
    is drawn again, from epoch to epoch too: over a training they come equally often.

    Args:
        foreground: share of the draws that show foreground for certain, 0..1. The default is
            nnU-Net's (Isensee et al. 2021, "oversampling").
        each_class: True: certain draws show each foreground class in turn, of those that the
            cases show at all, so that rare classes come as often as common ones. False: any
            foreground.
        slices: draws of an epoch, those of all ranks together; as many as there are by default.

    Raises:
        BadInput: E_ARGUMENT.

    Example:
        >>> cache.slices(32, balance=Balance(slices=8000), epoch=3)  # doctest: +SKIP
    """

    foreground: float = 1 / 3
    each_class: bool = False
    slices: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.foreground <= 1:
            problem = f"foreground is {self.foreground}, expected 0..1"
            raise BadInput("E_ARGUMENT", "balance", problem, "give a share, such as 1/3")
        if self.slices is not None and self.slices < 1:
            problem = f"slices is {self.slices}, expected >= 1"
            raise BadInput("E_ARGUMENT", "balance", problem, "leave it out for all")


def shown(info: CaseInfo, valid: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return (slices, foreground classes): what each of the ``valid`` slices of a case shows."""
    return info.label_counts[slice(*valid), 1:] > 0


def draw(balance: Balance, shows: npt.NDArray[np.bool_], *, seed: int, epoch: int) -> list[int]:
    """Return the indices of the slices that an epoch draws, in order.

    Args:
        balance: how many of which kind.
        shows: (slices, foreground classes), whether a slice shows a class.
        seed: the draws are a pure function of seed and epoch.
        epoch: see ``seed``.

    Raises:
        BadInput: E_ARGUMENT, where no slice shows foreground.
    """
    check_epoch(seed=seed, epoch=epoch)
    total = len(shows) if balance.slices is None else balance.slices
    certain = round(total * balance.foreground)
    is_certain = np.diff(np.arange(total + 1) * certain // total) == 1
    drawn = np.empty(total, np.int64)
    rest = total - certain
    drawn[~is_certain] = _turns(np.arange(len(shows)), epoch * rest, rest, seed=seed, kind=0)
    if certain:
        drawn[is_certain] = _certain_draws(balance, shows, certain, seed=seed, epoch=epoch)
    return [int(index) for index in drawn]


def _certain_draws(
    balance: Balance, shows: npt.NDArray[np.bool_], count: int, *, seed: int, epoch: int
) -> npt.NDArray[np.int64]:
    """Return the draws that show foreground: the kinds take turns over the whole training."""
    columns = list(shows.T) if balance.each_class else [shows.any(1)]
    kinds = [np.flatnonzero(column) for column in columns if column.any()]
    if not kinds:
        problem = f"wants {count} slices with foreground, of which the cases have none"
        raise BadInput("E_ARGUMENT", "balance", problem, "add labelled cases, or leave balance out")
    turns = np.arange(epoch * count, (epoch + 1) * count)
    drawn = np.empty(count, np.int64)
    for kind, slices in enumerate(kinds):
        mine = turns % len(kinds) == kind
        places = turns[mine] // len(kinds)  # consecutive
        if len(places):
            drawn[mine] = _turns(slices, int(places[0]), len(places), seed=seed, kind=kind + 1)
    return drawn


def _turns(
    slices: npt.NDArray[np.int64], first: int, count: int, *, seed: int, kind: int
) -> npt.NDArray[np.int64]:
    """Return ``count`` places from ``first`` on of the endless row of permutations of a kind."""
    rounds = range(first // len(slices), -(-(first + count) // len(slices)))
    row = [slices[permutation(len(slices), seed, turn, kind=kind)] for turn in rounds]
    skipped = first % len(slices)
    return np.concatenate([slices[:0], *row])[skipped : skipped + count]
