from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tomolift.models import Checkpoint, CheckpointError, DilatedResNet18, load_pretrained

HEAD = ("fc.weight", "fc.bias")


def _checkpoint(state, *, dropped=()):
    return Checkpoint(
        state_dict=state,
        path=Path("weights/source.pth"),
        format="torch-zip",
        naming="tomolift",
        num_classes=None,
        sha256="0" * 64,
        dropped=dropped,
    )


def _refusal(model, state, **options):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(CheckpointError) as error:
        load_pretrained(model, _checkpoint(state), **options)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), "the model must be as it was"
    message = str(error.value)
    assert message.startswith("weights/source.pth: ")
    assert "\n" not in message
    return message


def test_a_full_checkpoint_matches_all_102_tensors(voc_state):
    network = DilatedResNet18(21)
    report = load_pretrained(network, _checkpoint(voc_state))
    assert len(report.matched) == 102
    assert report.adapted == report.reinitialised == report.unused == ()
    for name, value in voc_state.items():
        assert torch.equal(network.state_dict()[name], value)


def test_fc_of_another_class_count_keeps_its_initial_values(voc_state):
    network = DilatedResNet18(3)
    before = network.fc.weight.clone()
    report = load_pretrained(network, _checkpoint(voc_state))
    assert len(report.matched) == 100
    assert report.reinitialised == HEAD
    assert set(report.unused) == set(HEAD)
    assert torch.equal(network.fc.weight, before)


def test_a_dropped_classifier_is_reported_as_unused(voc_state):
    state = {name: value for name, value in voc_state.items() if name not in HEAD}
    report = load_pretrained(DilatedResNet18(3), _checkpoint(state, dropped=HEAD))
    assert report.reinitialised == HEAD
    assert set(report.unused) == set(HEAD)


def test_missing_step_counters_start_at_zero(voc_state):
    network = DilatedResNet18(21)
    network(torch.rand(2, 3, 16, 16))
    assert network.bn1.num_batches_tracked == 1
    load_pretrained(network, _checkpoint(voc_state))
    assert network.bn1.num_batches_tracked == 0


def test_step_counters_are_taken_over_and_not_counted():
    source = DilatedResNet18(21)
    source.bn1.num_batches_tracked.fill_(7)
    network = DilatedResNet18(21)
    report = load_pretrained(network, _checkpoint(source.state_dict()))
    assert len(report.matched) == 102
    assert network.bn1.num_batches_tracked == 7


def test_a_grey_stem_takes_the_sum_and_gives_the_colour_network_s_logits(voc_state, generator):
    colour, grey = DilatedResNet18(21).eval(), DilatedResNet18(21, in_channels=1).eval()
    load_pretrained(colour, _checkpoint(voc_state))
    report = load_pretrained(grey, _checkpoint(voc_state))
    assert report.adapted == ("conv1.weight",)
    assert len(report.matched) == 101
    picture = torch.rand(1, 1, 33, 32, generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(grey(picture), colour(picture.expand(-1, 3, -1, -1)))


def test_foreign_layers_are_listed_as_unused(voc_state):
    state = voc_state | {"auxiliary.weight": torch.ones(3)}
    assert load_pretrained(DilatedResNet18(21), _checkpoint(state)).unused == ("auxiliary.weight",)


def test_another_kind_of_head_is_listed_as_unused(voc_state):
    state = {name: value for name, value in voc_state.items() if name not in HEAD}
    report = load_pretrained(
        DilatedResNet18(21), _checkpoint(state | {"fc.1.weight": torch.ones(9, 512)})
    )
    assert report.unused == ("fc.1.weight",)
    assert report.reinitialised == HEAD


def test_a_stem_of_other_channels_is_refused_with_the_way_to_go(voc_state):
    message = _refusal(DilatedResNet18(21, in_channels=2), voc_state)
    assert message.endswith("build the network with in_channels=3")


def test_the_summary_is_one_line_and_the_table_has_a_line_per_tensor(voc_state):
    report = load_pretrained(DilatedResNet18(3), _checkpoint(voc_state))
    assert report.summary() == (
        "source.pth: 100 matched, 0 adapted, 2 reinitialised (fc.weight, fc.bias), "
        "2 unused (fc.bias, fc.weight)"
    )
    assert len(report.table().splitlines()) == 104


def test_a_resnet_50_is_another_architecture(voc_state):
    bottleneck = {"layer1.0.conv1.weight": torch.ones(64, 64, 1, 1)}
    message = _refusal(DilatedResNet18(21), voc_state | bottleneck)
    assert "layer1.0.conv1.weight is (64, 64, 1, 1) in the file" in message
    assert "another architecture" in message


def test_a_resnet_34_is_another_architecture_although_every_name_matches(voc_state):
    deeper = {"layer1.2.conv1.weight": torch.ones(64, 64, 3, 3)}
    message = _refusal(DilatedResNet18(21), voc_state | deeper)
    assert "'layer1.2.conv1.weight', which the model has not: another architecture" in message


def test_a_u_net_is_another_architecture():
    message = _refusal(DilatedResNet18(3), {"encoder.0.weight": torch.ones(8, 3, 3, 3)})
    assert "0 tensors match DilatedResNet18, expected at least 100: another archite" in message


def test_too_few_tensors_are_refused_and_the_limit_is_an_option(voc_state):
    state = {name: voc_state[name] for name in list(voc_state)[:50]}
    assert "50 tensors match" in _refusal(DilatedResNet18(21), state)
    report = load_pretrained(DilatedResNet18(21), _checkpoint(state), minimum_matched=50)
    assert len(report.reinitialised) == 52


def test_2d_weights_for_a_3d_network_are_refused_with_the_way_to_go(voc_state):
    message = _refusal(DilatedResNet18(21, spatial_dims=3), voc_state)
    assert "load them into the 2D network and inflate that" in message
