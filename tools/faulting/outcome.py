"""What an experiment found: how often it was tried, what failed, what was measured."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

Figures = dict[str, float | int | str]
SHOWN_FAILURES = 3  # a broken promise often breaks a thousand times, in the same way


@dataclass(frozen=True)
class Outcome:
    """The result of one experiment.

    Attributes:
        name: of the experiment, as `--only` takes it.
        promise: what is held if there is no failure, in one clause.
        attempts: how often it was tried (kills, mutants, flipped bits, ...).
        failures: one line each, with what is needed to repeat it.
        figures: measured values by what they are, with the unit in the name.
        seconds: wall time.
    """

    name: str
    promise: str
    attempts: int
    failures: tuple[str, ...] = ()
    figures: Figures = field(default_factory=dict)
    seconds: float = 0.0

    def line(self) -> str:
        """Return what is printed: the verdict, the figures, and the first failures below it."""
        parts = [f"{self.attempts} attempts, {len(self.failures)} failures"]
        parts += [f"{name} {shown(value)}" for name, value in self.figures.items()]
        head = f"{self.name}: {'; '.join(parts)}; {self.seconds:.0f} s"
        more = len(self.failures) - SHOWN_FAILURES
        below = [f"  failed: {failure}" for failure in self.failures[:SHOWN_FAILURES]]
        return "\n".join([head, *below, *([f"  and {more} more"] if more > 0 else [])])

    def to_json(self) -> dict[str, Any]:
        """Return a plain dict."""
        return {**asdict(self), "failures": list(self.failures)}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Outcome:
        """Return what :meth:`to_json` gave."""
        return cls(**{**content, "failures": tuple(content["failures"])})


def shown(value: float | int | str) -> str:
    """Return a figure with at most three significant digits behind the point.

    Example:
        >>> shown(0.12345), shown(1500000), shown("6.1")
        ('0.123', '1500000', '6.1')
    """
    return f"{value:.3g}" if isinstance(value, float) else str(value)
