"""Libraries that only an extra installs, imported when they are first needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .errors import ConfigError


def optional_module(name: str, *, extra: str, purpose: str) -> Any:
    """Import a module that need not be installed.

    Args:
        name: dotted module name.
        extra: the extra of tomolift-training that brings it.
        purpose: what needs it, for the message.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{purpose} needs {error.name}: pip install 'tomolift-training[{extra}]'"
        ) from error
