"""Import timm from a folder, with stand-ins for what it imports and this measurement never calls.

timm imports torchvision and yaml at its start, the first for image transforms and detection, the
second for checkpoints' files. Neither is needed to build a network from random numbers.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import Any

STAND_INS = ("torchvision", "yaml")


def import_timm(folder: Path | None) -> types.ModuleType:
    """The module timm, from a folder that `pip install --target` filled, or as installed.

    Raises:
        ImportError: there is none.
    """
    missing = [name for name in STAND_INS if name not in sys.modules and find_spec(name) is None]
    if missing:
        sys.meta_path.append(_StandIns(missing))
    if folder is not None and str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return importlib.import_module("timm")


class _StandIns(MetaPathFinder, Loader):
    """Modules in which every public name is a class of its own that does nothing."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if name.partition(".")[0] not in self._names:
            return None
        return ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> types.ModuleType:
        module = types.ModuleType(spec.name)
        module.__getattr__ = _stand_in  # type: ignore[method-assign]
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing: names are made as they are asked for."""


class _Anything(type):
    """Classes whose every public attribute exists, such as members of an enumeration."""

    def __getattr__(cls, name: str) -> Any:
        return name if not name.startswith("__") else _absent(name)


def _stand_in(name: str) -> Any:
    return _Anything(name, (), {}) if not name.startswith("__") else _absent(name)


def _absent(name: str) -> Any:
    raise AttributeError(name)
