"""What a build hands to a worker and what comes back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ._format import Configuration
from ._msd import Case, Task
from ._sources import Sources, case_key


@dataclass(frozen=True)
class CaseJob:
    """Everything that a worker needs to ingest one case; ``builder`` is the build's process id."""

    task: Task
    case: Case
    sources: Sources
    configuration: Configuration
    cache_dir: Path
    builder: int

    @property
    def key(self) -> str:
        """Hash of everything that the cached volume depends on."""
        classes = len(self.task.label_names)
        return case_key(self.case, self.sources, configuration=self.configuration, classes=classes)


@dataclass(frozen=True)
class Ingested:
    """What became of a case: ``status`` ok, dropped or failed, and the journal's other fields."""

    status: str
    fields: dict[str, Any] = field(default_factory=dict)
