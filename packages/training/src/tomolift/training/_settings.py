"""`key=value` as a person writes it: the same words in a row's name and behind --training."""

from __future__ import annotations

from typing import Any, get_origin, get_type_hints

from ._training_config import TrainingConfig
from .errors import ConfigError

# The ablations of the training design, each by one word.
WORDS: dict[str, str] = {
    "zeros": "depth_padding=zeros",
    "replicate": "depth_padding=replicate",
    "every-slice": "depth_stride=1",
    "corners": "sampling=corners",
    "stride": "sampling=stride",
    "finetuned": "source=finetuned",
    "pretrained": "source=pretrained",
    "none": "source=none",
    "recalibrated": "norm_batches=8",
    "running": "norm_batches=0",
}


def parse_setting(text: str, *, where: str) -> tuple[str, Any]:
    """A key of the training section with its value, from `key=value` or one of WORDS.

    Args:
        text: such as "replicate", "learning_rate=3e-4", "alphas_3=0.2:0.6:0.2".
        where: what it is part of, for messages.

    Raises:
        ConfigError: an unknown word or key, or a value of another type.

    Example:
        >>> parse_setting("replicate", where="--training")
        ('depth_padding', 'replicate')
        >>> parse_setting("learning_rate=3e-4", where="--training")
        ('learning_rate', 0.0003)
    """
    key, equals, value = WORDS.get(text, text).partition("=")
    hints = get_type_hints(TrainingConfig)
    if not equals or key not in hints:
        raise ConfigError(
            f"{where}: {text!r} is no setting; use {', '.join(WORDS)}, or KEY=VALUE with a key of "
            f"{', '.join(hints)}"
        )
    try:
        return key, _value(value, hints[key])
    except ValueError as error:
        kind = getattr(hints[key], "__name__", "numbers divided by colons")
        raise ConfigError(f"{where}: {key}={value!r}: expected {kind}") from error


def setting_text(value: Any) -> str:
    """A value as `parse_setting` reads it."""
    if isinstance(value, tuple):
        return ":".join(setting_text(item) for item in value)
    return format(value, "g") if isinstance(value, float) else str(value)


def _value(text: str, hint: Any) -> Any:
    if hint == tuple[float, ...]:
        return tuple(float(item) for item in text.split(":"))
    # Which words a Literal allows, the configuration itself checks.
    return text if get_origin(hint) is not None else hint(text)
