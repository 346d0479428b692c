"""How deep mutants came: which statements that refuse input were reached."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Collection, Iterable
from types import ModuleType

PARSERS = (
    "_headers", "_nifti", "_encoding", "_pair", "_msd", "_manifest", "_record_form", "_case_info",
    "_archive_tar", "_archive_zip", "_archive_zip_directory", "_archive_members", "_archive_names",
)  # fmt: skip


def refusals_reached(sites: Collection[tuple[str, int]]) -> dict[str, str]:
    """Return, by module of the parsers, how many of its ``raise`` statements were reached.

    Not all can be by contents alone: some answer a missing file, a disk's error or a fifo.
    """
    reached = {}
    for name in PARSERS:
        module = importlib.import_module(f"tomolift.data.{name}")
        lines = set(_raising_lines(module))
        met = {line for file, line in sites if file == f"{name}.py"} & lines
        if met:
            reached[f"refusals reached in {name}"] = f"{len(met)} of {len(lines)}"
    return reached


def _raising_lines(module: ModuleType) -> Iterable[int]:
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.Raise) and node.exc is not None:
            yield node.lineno
