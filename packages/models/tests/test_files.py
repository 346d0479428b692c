from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import torch

from tomolift.models import read_checkpoint, write_checkpoint

# As a user calls it: without the annotations' checks, which only these tests switch on.
unchecked_write = inspect.unwrap(write_checkpoint)


def test_what_is_written_comes_back(tmp_path, small_state):
    file = tmp_path / "small.safetensors"
    transposed = {"mixed.weight": torch.arange(6.0).reshape(2, 3).T}
    write_checkpoint(file, small_state | transposed, {"b": "2", "a": "1"})
    checkpoint = read_checkpoint(file)
    assert checkpoint.metadata == {"a": "1", "b": "2"}
    for name, value in (small_state | transposed).items():
        assert torch.equal(checkpoint.state_dict[name], value)


def test_equal_weights_give_equal_bytes(tmp_path, small_state):
    for name in ("one", "two"):
        write_checkpoint(tmp_path / name, small_state, {"c": "3", "a": "1", "b": "2"})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_channels_last_weights_are_written_in_the_usual_order(tmp_path, small_state):
    weight = small_state["conv1.weight"]
    small_state["conv1.weight"] = weight.to(memory_format=torch.channels_last)
    write_checkpoint(tmp_path / "small", small_state, {})
    assert torch.equal(read_checkpoint(tmp_path / "small").state_dict["conv1.weight"], weight)


def test_tied_weights_are_written(tmp_path):
    shared = torch.ones(3)
    write_checkpoint(tmp_path / "tied", {"a": shared, "b": shared}, {})
    assert torch.equal(read_checkpoint(tmp_path / "tied").state_dict["b"], shared)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, small_state, monkeypatch):
    file = tmp_path / "small.safetensors"
    write_checkpoint(file, small_state, {})
    before = file.read_bytes()

    def full_disk(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_checkpoint(file, {"fc.bias": torch.zeros(2)}, {})
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_a_value_that_is_no_tensor_is_named(tmp_path):
    with pytest.raises(TypeError, match=r"state_dict\['epoch'\] is int, expected a tensor"):
        unchecked_write(tmp_path / "bad", {"epoch": 3}, {})
    assert list(tmp_path.iterdir()) == []


def test_metadata_that_is_no_string_is_named(tmp_path, small_state):
    with pytest.raises(TypeError, match=r"metadata\['epoch'\] is int, expected a string"):
        unchecked_write(tmp_path / "bad", small_state, {"epoch": 3})
