"""A row by its name: an arm, and behind every + one thing that this row does differently."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from ._arms import ARMS, Arm
from ._settings import parse_setting, setting_text
from .errors import ConfigError

# A row's name is part of its folder's.
_LONGEST_NAME = 120
# All rows of a comparison share the machine and its arithmetic.
_SHARED = ("precision", "threads")
_DEPTH = ("depth_padding", "depth_stride", "depth_kernel")


@lru_cache(maxsize=256)
def arm_named(name: str) -> Arm:
    """The row that a name stands for.

    `average` is a row of tomolift.training.ARMS; `average+replicate` and
    `average+learning_rate=3e-4` are the same with one setting changed, whatever the profile says.
    The 2D run that a row starts from is always the plain arm `2d`.

    Args:
        name: ARM, or ARM+SETTING+..., see `parse_setting`.

    Raises:
        ConfigError: an unknown arm or setting, or one that this arm has no use for.

    Example:
        >>> arm_named("average+replicate").label
        '3D, initialisation by averaging; depth_padding replicate'
    """
    base, *settings = name.split("+")
    if base not in ARMS:
        raise ConfigError(f"arm {base!r}: expected one of {', '.join(ARMS)}")
    if len(name) > _LONGEST_NAME:
        raise ConfigError(f"arm {name!r}: expected a name of at most {_LONGEST_NAME} characters")
    arm = ARMS[base]
    given = dict(arm.settings)
    words = []
    for text in settings:
        key, value = parse_setting(text, where=f"arm {name!r}")
        if key in given:
            raise ConfigError(f"arm {name!r}: {key} is set already; name it once")
        if key in _useless(base):
            raise ConfigError(f"arm {name!r}: {key} means nothing to arm {base}; leave it out")
        given[key] = value
        words.append(f"{key} {setting_text(value)}")
    if not words:
        return arm
    return replace(
        arm,
        label=f"{arm.label}; {', '.join(words)}",
        paper_mean_iou=None,  # the paper trained no such row
        settings=tuple(sorted(given.items())),
    )


def _useless(base: str) -> set[str]:
    """Keys that an arm's training never reads."""
    arm, keys = ARMS[base], set(_SHARED)
    if arm.spatial_dims == 2:
        keys |= {*_DEPTH, "batch_3d"}
    else:
        keys |= {"batch_2d"}
    keys.add("epochs_3d" if base == "2d" else "epochs_2d")
    if base in ("2d-continued", "random"):
        keys.add("source")
    if arm.strategy != "scaling":
        keys |= {"alphas_3", "alphas_7"}
    return keys
