from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from tomolift.training import DamagedCheckpointError
from tomolift.training._checkpoint import (
    Position,
    read_envelope,
    resume_checkpoint,
    save_checkpoint,
)

RECORD = {"epoch": 1, "loss": 0.5}


def network_and_optimiser(seed: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
    network = network.to(memory_format=torch.channels_last)
    return network, torch.optim.Adam(network.parameters(), lr=1e-2, weight_decay=1e-4, fused=True)


def steps(network: nn.Module, optimiser: torch.optim.Optimizer, count: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        optimiser.zero_grad(set_to_none=True)
        network(torch.rand(2, 1, 8, 8, generator=generator)).square().sum().backward()
        optimiser.step()


def save(folder: Path, epoch: int = 1) -> tuple[nn.Module, torch.optim.Optimizer, Path]:
    network, optimiser = network_and_optimiser(0)
    steps(network, optimiser, 3, seed=1)
    path = save_checkpoint(
        folder,
        network=network,
        optimiser=optimiser,
        position=Position(epoch, [RECORD]),
        identity="run",
    )
    return network, optimiser, path


def test_a_resumed_training_continues_bit_for_bit(tmp_path: Path) -> None:
    network, optimiser, _ = save(tmp_path)
    other, other_optimiser = network_and_optimiser(9)
    position = resume_checkpoint(tmp_path, network=other, optimiser=other_optimiser, identity="run")
    assert position == Position(1, [RECORD])
    steps(network, optimiser, 3, seed=2)
    steps(other, other_optimiser, 3, seed=2)
    for name, value in network.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_resume_without_the_optimisers_state_is_noticed(tmp_path: Path) -> None:
    network, optimiser, _ = save(tmp_path)
    other, _ = network_and_optimiser(9)
    fresh = torch.optim.Adam(other.parameters(), lr=1e-2, weight_decay=1e-4, fused=True)
    other.load_state_dict(network.state_dict())
    steps(network, optimiser, 3, seed=2)
    steps(other, fresh, 3, seed=2)
    assert not torch.equal(network[0].weight, other[0].weight)  # type: ignore[index]


def test_an_empty_folder_starts_from_the_beginning(tmp_path: Path) -> None:
    network, optimiser = network_and_optimiser(0)
    position = resume_checkpoint(tmp_path, network=network, optimiser=optimiser, identity="run")
    assert position == Position(0, [])


def test_only_the_newest_two_are_kept(tmp_path: Path) -> None:
    for epoch in (1, 2, 3, 10):
        save(tmp_path, epoch)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["checkpoint-000003.ckpt", "checkpoint-000010.ckpt"]


@pytest.mark.parametrize("at", [0, 9, 20, 60, -1, -40])
def test_every_flipped_bit_is_detected(tmp_path: Path, at: int) -> None:
    _, _, path = save(tmp_path)
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedCheckpointError, match=path.name):
        read_envelope(path)


@pytest.mark.parametrize("length", [0, 7, 24, 100])
def test_a_truncated_checkpoint_is_detected(tmp_path: Path, length: int) -> None:
    _, _, path = save(tmp_path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DamagedCheckpointError, match="delete it"):
        read_envelope(path)


def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before(tmp_path: Path) -> None:
    save(tmp_path, 1)
    _, _, newest = save(tmp_path, 2)
    newest.write_bytes(newest.read_bytes()[:-5])
    network, optimiser = network_and_optimiser(0)
    position = resume_checkpoint(tmp_path, network=network, optimiser=optimiser, identity="run")
    assert position.epoch == 1


def test_what_a_killed_process_left_half_written_is_cleared(tmp_path: Path) -> None:
    _, _, path = save(tmp_path)
    half = tmp_path / f".{path.name}.x1y2"
    half.write_bytes(path.read_bytes()[:100])
    network, optimiser = network_and_optimiser(0)
    resume_checkpoint(tmp_path, network=network, optimiser=optimiser, identity="run")
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_but_damage_is_an_error_not_a_fresh_start(tmp_path: Path) -> None:
    _, _, path = save(tmp_path)
    path.write_bytes(b"TOMOCKP1")
    network, optimiser = network_and_optimiser(0)
    with pytest.raises(DamagedCheckpointError):
        resume_checkpoint(tmp_path, network=network, optimiser=optimiser, identity="run")


def test_another_runs_checkpoint_is_refused(tmp_path: Path) -> None:
    save(tmp_path)
    network, optimiser = network_and_optimiser(0)
    with pytest.raises(DamagedCheckpointError, match="another run"):
        resume_checkpoint(tmp_path, network=network, optimiser=optimiser, identity="other")
