"""`python -m tomolift.inflation IN OUT`: the weights of a 2D network as those of its 3D twin."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ._files import read_weights, write_weights
from ._state_dict import inflate_state_dict, tensor_report
from ._strategies import PAPER_ALPHAS, STRATEGY_NAMES, Scaling, Strategy, resolve_strategy
from .errors import InflationError, StrategyError


def main(argv: Sequence[str] | None = None) -> int:
    """Inflate a safetensors file and print what became of every tensor.

    Args:
        argv: the arguments after the command's name; the process's own by default.

    Returns:
        0, or with one line on stderr: 2, the output file is then as it was, or 130 where it was
        interrupted, the output file is then whole or as it was.
    """
    options = _parser().parse_args(argv)
    try:
        state_2d, metadata = read_weights(options.source)
        like = read_weights(options.like)[0] if options.like else None
        strategy = _strategy(options.strategy, options.alphas)
        state_3d = inflate_state_dict(state_2d, like=like, strategy=strategy)
        metadata["inflation"] = repr(strategy)
        lines = tensor_report(state_2d, state_3d)
        write_weights(options.target, state_3d, metadata, overwrite=options.overwrite)
        print("\n".join(lines))
        print(f"{len(state_3d)} tensors written to {options.target}")
    except InflationError as error:
        print(f"tomolift inflate: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            f"tomolift inflate: interrupted; {options.target} is whole or as it was: run it again",
            file=sys.stderr,
        )
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tomolift inflate",
        description="Inflate the weights of a 2D network to 3D. Without --like every 4-D tensor "
        "is taken for a convolution filter and gets as many depth taps as it is high.",
    )
    parser.add_argument("source", type=Path, help="2D weights, .safetensors")
    parser.add_argument("target", type=Path, help="where to put the 3D weights, .safetensors")
    parser.add_argument("--strategy", default="average", choices=STRATEGY_NAMES)
    parser.add_argument(
        "--alphas",
        action="append",
        nargs="+",
        type=float,
        default=[],
        metavar="ALPHA",
        help="with --strategy scaling: the taps from the first slice to the last; once per number "
        "of taps (default: the paper's for 3 and 7)",
    )
    parser.add_argument(
        "--like", type=Path, help="weights of the 3D network, for names, taps and dtype"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing target")
    return parser


def _strategy(name: str, alphas: Sequence[Sequence[float]]) -> Strategy:
    if not alphas:
        return resolve_strategy(name)
    if name != "scaling":
        raise StrategyError(f"--alphas goes with --strategy scaling, not {name}: leave one out")
    return Scaling(alphas={**PAPER_ALPHAS, **{len(taps): tuple(taps) for taps in alphas}})
