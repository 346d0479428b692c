"""Profiles: TOML files that become a configuration, with every unknown key refused."""

from __future__ import annotations

import dataclasses
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_origin, get_type_hints

from ._config import Config
from .errors import ConfigError

_MAX_PROFILE_BYTES = 65_536
PROFILES = ("quick", "hippocampus", "paper")


def load_profile(profile: str) -> Config:
    """Read a built-in profile or a TOML file.

    Args:
        profile: "quick", "hippocampus", "paper", or a path ending in .toml.

    Raises:
        ConfigError: unknown profile, unreadable file, unknown key or wrong value.

    Example:
        >>> load_profile("paper").training.epochs_3d
        30
    """
    if profile in PROFILES:
        resource = resources.files(__package__) / "profiles" / f"{profile}.toml"
        values = tomllib.loads(resource.read_text("utf-8"))
        return config_from_json(values, origin=f"profile {profile}")
    path = Path(profile)
    if path.suffix != ".toml":
        raise ConfigError(
            f"--profile {profile}: expected one of {', '.join(PROFILES)} or a file ending in .toml"
        )
    try:
        if path.stat().st_size > _MAX_PROFILE_BYTES:
            raise ConfigError(f"{path}: larger than {_MAX_PROFILE_BYTES} bytes; check --profile")
        values = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check --profile") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid TOML ({error}); mend the file") from error
    return config_from_json({"name": path.stem, **values}, origin=str(path))


def config_from_json(values: dict[str, Any], *, origin: str) -> Config:
    """The inverse of `Config.to_json`; raises ConfigError naming `origin` and the key."""
    config: Config = _build(Config, values, origin)
    return config


def _build(cls: type, values: dict[str, Any], origin: str) -> Any:
    """Fill a dataclass from a mapping, section by section, refusing unknown keys and types."""
    hints = get_type_hints(cls)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        raise ConfigError(
            f"{origin}: unknown key {unknown[0]!r}; expected some of {', '.join(hints)}"
        )
    arguments = {key: _convert(value, hints[key], key, origin) for key, value in values.items()}
    try:
        return cls(**arguments)
    except TypeError as error:
        raise ConfigError(f"{origin}: {error}") from error


def _convert(value: Any, hint: Any, key: str, origin: str) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return _build(hint, value, origin)  # type: ignore[arg-type]
    if hint == tuple[str, ...] and isinstance(value, list):
        if all(isinstance(item, str) for item in value):
            return tuple(value)
    elif hint == tuple[float, ...] and isinstance(value, list):
        if all(type(item) in (int, float) for item in value):
            return tuple(float(item) for item in value)
    elif hint is float and type(value) in (int, float):
        return float(value)
    elif hint is type(value) or (get_origin(hint) is Literal and isinstance(value, str)):
        return value  # which words are allowed, the dataclass itself checks
    raise ConfigError(f"{origin}: {key} = {value!r}: expected {getattr(hint, '__name__', hint)}")
