from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tomolift.inflation._cli import main


@pytest.fixture
def source(tmp_path: Path) -> Path:
    generator = torch.Generator().manual_seed(0)
    tensors: dict[str, Tensor] = {
        "conv1.weight": torch.randn(4, 3, 7, 7, generator=generator),
        "fc.weight": torch.randn(2, 4, 1, 1, generator=generator),
        "fc.bias": torch.randn(2, generator=generator),
    }
    path = tmp_path / "in.safetensors"
    save_file(tensors, path, metadata={"epochs": "30"})
    return path


def test_the_command_writes_inflated_weights_and_a_line_for_every_tensor(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out.safetensors"
    assert main([str(source), str(target), "--strategy", "average"]) == 0
    before, after = load_file(source), load_file(target)
    torch.testing.assert_close(after["conv1.weight"].sum(2), before["conv1.weight"])
    assert torch.equal(after["fc.weight"][:, :, 0], before["fc.weight"])
    lines = capsys.readouterr().out.splitlines()
    assert "conv1.weight: (4, 3, 7, 7) -> (4, 3, 7, 7, 7), depth taps sum to the 2D filter" in lines
    assert "fc.bias: (2,) copied" in lines
    assert lines[-1] == f"3 tensors written to {target}"


def test_alphas_are_taken_from_the_command_line(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.safetensors"
    alphas = [0.1, 0.1, 0.1, 0.4, 0.1, 0.1, 0.1]
    arguments = [str(source), str(target), "--strategy", "scaling", "--alphas", *map(str, alphas)]
    assert main(arguments) == 0
    taps = load_file(target)["conv1.weight"]
    torch.testing.assert_close(taps[:, :, 3], 0.4 * load_file(source)["conv1.weight"])


def test_like_says_how_many_taps_and_which_dtype(source: Path, tmp_path: Path) -> None:
    shapes = {"conv1.weight": (4, 3, 3, 7, 7), "fc.weight": (2, 4, 1, 1, 1), "fc.bias": (2,)}
    like, target = tmp_path / "like.safetensors", tmp_path / "out.safetensors"
    save_file({k: torch.zeros(v, dtype=torch.float16) for k, v in shapes.items()}, like)
    assert main([str(source), str(target), "--like", str(like), "--strategy", "zero"]) == 0
    result = load_file(target)["conv1.weight"]
    assert result.shape == (4, 3, 3, 7, 7)
    assert result.dtype == torch.float16


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    (line,) = output.err.splitlines()
    return line


def test_a_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "none.safetensors"
    line = refused([str(missing), str(tmp_path / "out.safetensors")], capsys)
    assert f"{missing}: no such file: check the path" in line


@pytest.mark.parametrize("kept_bytes", [0, 5, 100, 1500])
def test_a_truncated_file_is_named_and_nothing_is_written(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kept_bytes: int
) -> None:
    source.write_bytes(source.read_bytes()[:kept_bytes])
    line = refused([str(source), str(tmp_path / "out.safetensors")], capsys)
    assert f"{source}: no whole safetensors file" in line
    assert [path.name for path in tmp_path.iterdir()] == ["in.safetensors"]


def test_an_existing_target_is_kept_unless_told_otherwise(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out.safetensors"
    target.write_text("mine")
    assert "choose another name or pass --overwrite" in refused([str(source), str(target)], capsys)
    assert target.read_text() == "mine"
    assert main([str(source), str(target), "--overwrite"]) == 0
    assert len(load_file(target)) == 3


def test_a_folder_that_is_not_there_is_named(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "absent" / "out.safetensors"
    line = refused([str(source), str(target)], capsys)
    assert f"{target}: cannot be written (No such file or directory)" in line


def test_alphas_that_break_the_constraint_are_refused(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(source), str(tmp_path / "out.safetensors")]
    line = refused([*arguments, "--strategy", "scaling", "--alphas", "0.5", "0.6"], capsys)
    assert "sums to 1.1" in line
    line = refused([*arguments, "--alphas", "0.5", "0.5"], capsys)
    assert "--alphas goes with --strategy scaling, not average" in line


@pytest.mark.parametrize("step", ["read_weights", "inflate_state_dict", "tensor_report"])
def test_an_interrupt_is_one_line_and_returns_130(
    source: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"tomolift.inflation._cli.{step}", interrupt)
    assert main([str(source), str(tmp_path / "out.safetensors")]) == 130
    output = capsys.readouterr()
    assert output.out == ""
    (line,) = output.err.splitlines()
    assert "interrupted" in line


def test_the_module_runs_as_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["tomolift.inflation", "--help"])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_module("tomolift.inflation", run_name="__main__")
    assert stopped.value.code == 0
