from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import tomolift.training

MODULES = [
    module.name
    for module in pkgutil.walk_packages(tomolift.training.__path__, "tomolift.training.")
    if not module.name.endswith("__main__")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_hold(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
