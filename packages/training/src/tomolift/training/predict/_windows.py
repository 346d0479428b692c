"""Which windows a deep volume is cut into, and which of its slices each one answers for."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ConfigError

# Half: every slice that is not near an end of the volume then has at least a quarter of a
# window on either side of it, for twice the arithmetic of windows that only touch.
DEFAULT_OVERLAP = 0.5
# Ten windows a slice; beyond it, time goes up and context does not.
_LARGEST_OVERLAP = 0.9


@dataclass(frozen=True)
class Window:
    """Slices `start`..`start + depth` are shown, labels of `first`..`stop` are kept.

    `start` is negative where the volume is shallower than a window and is padded on both sides.
    """

    start: int
    first: int
    stop: int


def plan_windows(num_slices: int, *, depth: int, overlap: float) -> tuple[Window, ...]:
    """Lay windows over a volume so that every slice is kept exactly once.

    One window lies in the middle of the volume, where training cut its volumes out; the others
    follow every `step = depth (1 - overlap)` slices outwards. Each answers for the `step` slices
    in its own middle, so a slice is labelled by the window it is most central in. A window that
    reaches over an end of the volume is moved inside and keeps its slices. With `overlap` 0 the
    middle window answers for all it shows: what an evaluation counts.

    Args:
        num_slices: of the volume, at least 1.
        depth: slices of a window: those of the training volumes.
        overlap: share of a window that the next one shows too, 0 to 0.9.

    Returns:
        The windows from the first slice to the last.

    Raises:
        ConfigError: `overlap` outside its range.

    Example:
        >>> plan_windows(100, depth=70, overlap=0)
        (Window(start=0, first=0, stop=15), Window(start=15, first=15, stop=85), \
Window(start=30, first=85, stop=100))
        >>> plan_windows(24, depth=48, overlap=0.5)
        (Window(start=-12, first=0, stop=24),)
    """
    check_overlap(overlap)
    middle = (num_slices - depth) // 2  # as the depth policies of tomolift.data cut
    if num_slices <= depth:
        return (Window(middle, 0, num_slices),)
    step = max(1, round(depth * (1 - overlap)))
    margin = (depth - step) // 2
    kept: dict[int, tuple[int, int]] = {}
    earliest = middle - step * ((middle + margin) // step + 1)  # keeps nothing, or slice 0
    for start in range(earliest, num_slices - margin, step):
        first, stop = max(start + margin, 0), min(start + margin + step, num_slices)
        if first < stop:
            inside = min(max(start, 0), num_slices - depth)
            earlier = kept.get(inside, (first, stop))
            kept[inside] = (earlier[0], stop)
    return tuple(Window(start, first, stop) for start, (first, stop) in kept.items())


def check_overlap(overlap: float) -> None:
    """Refuse an overlap outside 0 to 0.9.

    Raises:
        ConfigError.
    """
    if not 0 <= overlap <= _LARGEST_OVERLAP:
        raise ConfigError(f"overlap = {overlap}: expected 0 to {_LARGEST_OVERLAP}")
