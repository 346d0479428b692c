"""Dispatch: the leaves' own commands by name, the experiment's through tyro.

Nothing here imports torch, so that `tomolift --help` and `tomolift data verify` answer at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import tyro

from ..errors import ConfigError, DamagedCheckpointError, NonFiniteLossError, PredictionError
from ..pretrain import pretrain_command
from ._compare import compare
from ._evaluate import evaluate
from ._predict import predict
from ._reproduce import reproduce
from ._search import search
from ._train import resume, train


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the words behind `tomolift`; None takes the process's own.

    Returns:
        0 on success, 1 where a check found defects, 2 for bad input (one line on stderr), 130
        when interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    commands: dict[str, Callable[..., object]] = {
        "reproduce": reproduce,
        "pretrain": pretrain_command,
        "train": train,
        "resume": resume,
        "predict": predict,
        "evaluate": evaluate,
        "compare": compare,
        "search": search,
        "data": _described(_data, "Verify, build, inspect MSD task folders and volume caches."),
        "inflate": _described(_inflate, "Inflate the tensors of a 2D checkpoint to 3D."),
    }
    try:
        if arguments and arguments[0] in _LEAVES:
            return _LEAVES[arguments[0]](arguments[1:])
        outcome = tyro.extras.subcommand_cli_from_dict(
            commands,
            prog="tomolift",
            description="Lift a 2D network to 3D and fine-tune it on volumes.",
            args=arguments,
            sort_subcommands=False,
        )
        return outcome if isinstance(outcome, int) else 0
    except KeyboardInterrupt:
        print(
            "tomolift: interrupted; finished runs, volumes and the newest checkpoint are kept, and "
            "the same command goes on from them",
            file=sys.stderr,
        )
        return 130
    except (ValueError, RuntimeError, OSError) as error:
        if type(error).__name__ == "OutOfMemoryError":  # torch's, which is not imported here
            line = "the device's memory is full; use --precision bf16, or a profile with less depth"
        elif isinstance(error, _user_errors()):
            line = _one_line(error)
        else:
            raise
        print(f"tomolift: error: {line}", file=sys.stderr)
        return 2


def _data(arguments: Sequence[str]) -> int:
    from tomolift.data.__main__ import main as data_main

    return data_main(arguments)


def _inflate(arguments: Sequence[str]) -> int:
    from tomolift.inflation.__main__ import main as inflation_main

    return inflation_main(arguments)


_LEAVES: dict[str, Callable[[Sequence[str]], int]] = {"data": _data, "inflate": _inflate}


def _described(command: Callable[..., int], description: str) -> Callable[..., int]:
    """An entry of `tomolift --help` for a command that is dispatched before tyro."""

    def entry() -> int:
        return command(["--help"])

    entry.__doc__ = description
    return entry


def _user_errors() -> tuple[type[Exception], ...]:
    """The error families whose message is written for the user."""
    from tomolift.data import BadInput
    from tomolift.inflation import InflationError
    from tomolift.models import CheckpointError

    ours = (ConfigError, DamagedCheckpointError, NonFiniteLossError, PredictionError)
    return (*ours, BadInput, InflationError, CheckpointError, OSError)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
