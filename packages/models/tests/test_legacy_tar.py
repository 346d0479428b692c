from __future__ import annotations

import contextlib
import os
import pickle
import struct

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tomolift.models import CheckpointError, read_checkpoint
from tomolift.models._legacy_pickle import PlainPickle
from tomolift.models._legacy_tar import read_legacy_tar


def _refusal(path):
    with pytest.raises(CheckpointError) as error:
        read_checkpoint(path)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("parameters", [False, True])
def test_our_reader_and_torch_s_unrestricted_one_agree(
    tmp_path, small_state, legacy_members, write_tar, parameters
):
    file = write_tar(tmp_path / "small.pth", legacy_members(small_state, parameters=parameters))
    ours = read_checkpoint(file).state_dict
    # Our own file, made a line above: the one place where the unrestricted reader is safe.
    theirs = torch.load(file, weights_only=False)
    assert list(ours) == list(theirs) == list(small_state)
    for name, value in ours.items():
        assert torch.equal(value, theirs[name])
        assert torch.equal(value, small_state[name])


def test_torch_itself_refuses_this_format(tmp_path, small_state, legacy_members, write_tar):
    file = write_tar(tmp_path / "small.pth", legacy_members(small_state))
    with pytest.raises(RuntimeError, match=r"legacy \.tar format"):
        torch.load(file, weights_only=True)


class _Planted:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("slot", ["sys_info", "pickle", "tensors", "storages"])
def test_a_planted_pickle_does_not_run(tmp_path, small_state, legacy_members, write_tar, slot):
    members = legacy_members(small_state)
    members[slot] = pickle.dumps(_Planted(tmp_path / "owned"), protocol=2)
    message = _refusal(write_tar(tmp_path / "planted.pth", members))
    assert "it calls posix.mkdir, which plain weights never do" in message
    assert not (tmp_path / "owned").exists()


def test_a_storage_larger_than_the_file_is_refused_unallocated(tmp_path, legacy_members, write_tar):
    members = legacy_members({"conv1.weight": torch.ones(7, 11)})
    members["storages"] = members["storages"].replace(
        struct.pack("<q", 77), struct.pack("<q", 1 << 45)
    )
    assert "its data ends early" in _refusal(write_tar(tmp_path / "huge.pth", members))


@pytest.mark.parametrize(
    ("field", "value"), [(0, 1 << 40), (0, -1), (0, 0), (2, 1 << 40), (3, -1), (4, 1), (4, -5)]
)
def test_a_tensor_that_leaves_its_storage_is_refused(
    tmp_path, legacy_members, write_tar, field, value
):
    members = legacy_members({"conv1.weight": torch.ones(7, 11)})
    layout = [7, 11, 11, 1, 0]  # shape, strides, offset
    before = struct.pack("<5q", *layout)
    layout[field] = value
    assert before in members["tensors"]
    members["tensors"] = members["tensors"].replace(before, struct.pack("<5q", *layout))
    assert "leaves its storage" in _refusal(write_tar(tmp_path / "outside.pth", members))


def test_a_tensor_that_repeats_one_element_is_refused(tmp_path, legacy_members, write_tar):
    members = legacy_members({"conv1.weight": torch.ones(7, 11)})
    before, after = struct.pack("<4q", 7, 11, 11, 1), struct.pack("<4q", 1 << 30, 11, 0, 0)
    members["tensors"] = members["tensors"].replace(before, after)
    assert "leaves its storage" in _refusal(write_tar(tmp_path / "repeat.pth", members))


def test_a_tar_of_something_else_is_refused(tmp_path, write_tar):
    message = _refusal(write_tar(tmp_path / "photos.tar", {"photo.jpg": b"\xff\xd8"}))
    assert "without the members pickle, storages, tensors" in message


def test_a_reference_to_a_tensor_that_is_not_there_is_refused(
    tmp_path, small_state, legacy_members, write_tar
):
    members = legacy_members(small_state)
    members["pickle"] = members["pickle"].replace(b"94223372036862", b"11112222333344")
    assert "a tensor that it does not hold" in _refusal(write_tar(tmp_path / "lost.pth", members))


def test_nested_keys_that_take_for_ever_to_hash_are_refused():
    nested = b"\x80\x02)q\x00" + b"h\x00h\x00\x86q\x00" * 60
    with pytest.raises(ValueError, match="neither a string nor an integer"):
        PlainPickle(nested + b"}q\x01h\x00K\x01s.").value()


@pytest.mark.parametrize(
    "value",
    [None, True, -5, 1 << 40, "täglich", 1.5, (), (1, 2), (1, 2, 3, 4), [1, [2]], {"a": {1: "b"}}],
)
def test_plain_values_come_back(value):
    assert PlainPickle(pickle.dumps(value, protocol=2)).value() == value


def test_integers_that_python_2_wrote_as_text_come_back():
    assert PlainPickle(b"\x80\x02I94223372036854\n.").value() == 94223372036854


def test_an_ordered_dict_as_python_2_wrote_it_comes_back():
    pairs = b"]q\x01(]q\x02(U\x01aK\x01e]q\x03(U\x01bK\x02ee"
    stream = b"\x80\x02ccollections\nOrderedDict\nq\x00" + pairs + b"\x85q\x04Rq\x05."
    assert PlainPickle(stream).value() == {"a": 1, "b": 2}


def test_a_parameter_with_its_data_in_the_state_comes_back():
    stream = b"\x80\x02ctorch.nn.parameter\nParameter\n)\x81(U\x04dataNN\x88\x89tb."
    assert PlainPickle(stream).value().data == "data"


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=64))
def test_arbitrary_bytes_give_a_value_or_a_value_error(data):
    with contextlib.suppress(ValueError):
        PlainPickle(data).value()


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_files_give_tensors_or_a_value_error(whole_tar, data):
    damaged = bytearray(whole_tar)
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(damaged) - 1))
        damaged[position] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ValueError):
        read_legacy_tar(bytes(damaged))
