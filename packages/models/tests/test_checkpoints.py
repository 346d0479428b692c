from __future__ import annotations

import hashlib
import os
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from tomolift.models import CheckpointError, DilatedResNet18, read_checkpoint, write_checkpoint


class _Planted:
    """Makes a folder when unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def _prefixed(state):
    return {f"resnet18_8s.{name}": value for name, value in state.items()}


def _assert_same(actual, expected):
    assert set(actual) == set(expected)
    for name, value in expected.items():
        assert torch.equal(actual[name], value.float())
        assert actual[name].dtype == torch.float32


def _refusal(path):
    with pytest.raises(CheckpointError) as error:
        read_checkpoint(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def test_torchvision_zip_file_loses_its_linear_classifier(tmp_path, classifier_state):
    file = tmp_path / "resnet18.pth"
    torch.save(classifier_state, file)
    checkpoint = read_checkpoint(file)
    assert (checkpoint.format, checkpoint.naming) == ("torch-zip", "torchvision")
    assert checkpoint.num_classes is None
    assert checkpoint.dropped == ("fc.weight", "fc.bias")
    _assert_same(
        checkpoint.state_dict,
        {name: value for name, value in classifier_state.items() if not name.startswith("fc.")},
    )


def test_the_paper_s_stream_file_loses_its_prefix_and_keeps_21_classes(tmp_path, voc_state):
    file = tmp_path / "resnet_18_8s_59.pth"
    torch.save(_prefixed(voc_state), file, _use_new_zipfile_serialization=False)
    checkpoint = read_checkpoint(file)
    assert (checkpoint.format, checkpoint.naming) == ("torch-legacy", "resnet18_8s")
    assert checkpoint.num_classes == 21
    assert checkpoint.dropped == ()
    _assert_same(checkpoint.state_dict, voc_state)


@pytest.mark.parametrize("rename", [_prefixed, dict])
def test_safetensors_are_read_under_either_naming(tmp_path, voc_state, rename):
    file = tmp_path / "voc.safetensors"
    save_file(rename(voc_state), file)
    checkpoint = read_checkpoint(file)
    assert checkpoint.format == "safetensors"
    assert checkpoint.naming == ("resnet18_8s" if rename is _prefixed else "tomolift")
    _assert_same(checkpoint.state_dict, voc_state)


def test_tar_file_of_torch_0_1_is_read(tmp_path, classifier_state, legacy_members, write_tar):
    members = legacy_members(classifier_state, parameters=True)
    checkpoint = read_checkpoint(write_tar(tmp_path / "resnet18.pth", members))
    assert (checkpoint.format, checkpoint.naming) == ("torch-legacy-tar", "torchvision")
    assert len(checkpoint.state_dict) == 100
    for name, value in checkpoint.state_dict.items():
        assert torch.equal(value, classifier_state[name])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_every_floating_type_becomes_float32(tmp_path, small_state, dtype):
    file = tmp_path / "small.pth"
    state = {name: value.to(dtype) for name, value in small_state.items()}
    torch.save(state, file)
    _assert_same(read_checkpoint(file).state_dict, state)


def test_a_volumetric_state_is_read_as_our_own(tmp_path):
    state = DilatedResNet18(3, spatial_dims=3).state_dict()
    state = {name: value for name, value in state.items() if name[:6] not in ("layer3", "layer4")}
    file = tmp_path / "volume.safetensors"
    write_checkpoint(file, state, {"arm": "average", "epoch": "3"})
    checkpoint = read_checkpoint(file)
    assert (checkpoint.naming, checkpoint.num_classes) == ("tomolift", 3)
    assert checkpoint.metadata == {"arm": "average", "epoch": "3"}
    assert checkpoint.state_dict["layer1.0.bn1.num_batches_tracked"].dtype == torch.int64
    assert checkpoint.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_hash_in_the_name_is_accepted_when_it_is_right(tmp_path, small_state):
    file = tmp_path / "small.pth"
    torch.save(small_state, file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    renamed = file.rename(tmp_path / f"small-{digest[:8]}.pth")
    assert read_checkpoint(renamed).sha256 == digest


def test_a_hash_in_the_name_is_checked_before_the_content(tmp_path):
    file = tmp_path / "resnet18-f37072fd.pth"
    file.write_bytes(b"anything")
    assert "but its name says f37072fd; download it again, or rename it" in _refusal(file)


def test_a_name_whose_hash_is_wrong_may_be_renamed(tmp_path, small_state):
    file = tmp_path / "unet-0badc0de.pt"
    torch.save(small_state, file)
    assert "or rename it if that is no hash" in _refusal(file)
    assert read_checkpoint(file.rename(tmp_path / "unet.pt")).num_classes is None


@pytest.mark.parametrize("name", ["unet-20240115.pth", "unet-19991231.pt"])
def test_a_date_in_the_name_is_no_hash(tmp_path, small_state, name):
    file = tmp_path / name
    torch.save(small_state, file)
    assert "conv1.weight" in read_checkpoint(file).state_dict


@pytest.mark.parametrize("name", ["unet-0badc0de.safetensors", "unet-20240115.safetensors"])
def test_only_torch_s_own_endings_carry_a_hash(tmp_path, small_state, name):
    file = tmp_path / name
    save_file(small_state, file)
    assert "conv1.weight" in read_checkpoint(file).state_dict


@pytest.mark.parametrize("name", ["a-202401150.pth", "a-18240115.pth", "a-20241315.pth"])
def test_digits_that_are_no_date_are_still_a_hash(tmp_path, small_state, name):
    file = tmp_path / name
    torch.save(small_state, file)
    assert "but its name says" in _refusal(file)


def test_a_missing_file_is_named(tmp_path):
    assert "no such file" in _refusal(tmp_path / "absent.pth")


def test_a_folder_is_refused(tmp_path):
    assert "not a regular file" in _refusal(tmp_path)


def test_an_empty_file_is_refused(tmp_path):
    file = tmp_path / "empty.pth"
    file.touch()
    assert "0 bytes" in _refusal(file)


def test_a_text_file_is_refused(tmp_path):
    file = tmp_path / "notes.pth"
    file.write_text("<html>404: not found</html>" * 40)
    assert "not a weights file" in _refusal(file)


@pytest.mark.parametrize("kind", ["zip", "stream", "tar", "safetensors"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_a_truncated_file_is_refused(tmp_path, voc_state, legacy_members, write_tar, kind, share):
    file = tmp_path / "cut.pth"
    state = {name: voc_state[name] for name in list(voc_state)[:6]}
    if kind == "tar":
        write_tar(file, legacy_members(state))
        share = min(share, 0.9)  # a tar's last blocks are empty
    elif kind == "safetensors":
        save_file(state, file)
    else:
        torch.save(state, file, _use_new_zipfile_serialization=kind == "zip")
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    assert "download it again" in _refusal(file)


@pytest.mark.parametrize("new_format", [True, False])
def test_a_planted_pickle_does_not_run(tmp_path, small_state, new_format):
    file = tmp_path / "planted.pth"
    state = small_state | {"extra": _Planted(tmp_path / "owned")}
    torch.save(state, file, _use_new_zipfile_serialization=new_format)
    assert "Python objects" in _refusal(file)
    assert not (tmp_path / "owned").exists()


def test_a_compressed_archive_that_unpacks_to_more_is_refused(tmp_path):
    file = tmp_path / "bomb.pth"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 10_000_000)
    assert "unpack to 10000000" in _refusal(file)


def test_tensors_that_repeat_their_elements_beyond_the_file_are_refused(tmp_path):
    file = tmp_path / "wide.pth"
    torch.save({"conv1.weight": torch.ones(1).expand(1 << 40)}, file)
    assert "larger than the file" in _refusal(file)


@pytest.mark.parametrize("content", [[1, 2], {}, {"state_dict": {"a": torch.ones(1)}}, {"a": 1}])
def test_anything_but_a_dict_of_tensors_is_refused(tmp_path, content):
    file = tmp_path / "other.pth"
    torch.save(content, file)
    assert "save model.state_dict() alone" in _refusal(file)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_not_finite_is_named(tmp_path, small_state, value):
    file = tmp_path / "nan.pth"
    small_state["bn1.weight"][2] = value
    torch.save(small_state, file)
    assert "'bn1.weight' has values that are not finite" in _refusal(file)


def test_quantised_weights_are_refused(tmp_path, small_state):
    file = tmp_path / "integers.pth"
    torch.save(small_state | {"conv1.weight": torch.ones(4, dtype=torch.int8)}, file)
    assert "'conv1.weight' is torch.int8, expected floating point" in _refusal(file)
