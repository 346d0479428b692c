"""Training the 2D source network: batches, learning, reuse, interruption, command."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tomolift.models import DilatedResNet18, load_pretrained, read_checkpoint
from tomolift.training._device import choose_compute
from tomolift.training.errors import ConfigError, NonFiniteLossError
from tomolift.training.pretrain import (
    Picture,
    PretrainConfig,
    PretrainReport,
    ProceduralPictures,
    pretrain,
    pretrain_command,
)
from tomolift.training.pretrain import _fit as fit_module
from tomolift.training.pretrain._batches import training_batches, validation_batches
from tomolift.training.pretrain._fit import Fit, learning_rate

TINY = PretrainConfig(
    pictures=32,
    validation=8,
    crop=32,
    batch=8,
    epochs=2,
    learning_rate=1e-3,
    reduction="mean",
    precision="fp32",
)


@dataclass(frozen=True)
class NumberedPictures:
    """Finite: picture i has the grey value i everywhere and the class i % 3, sizes differ."""

    amount: int = 10
    identity: str = "numbered"
    class_names: tuple[str, ...] = ("background", "one", "two")

    def count(self, part: str) -> int:
        return self.amount

    def read(self, part: str, index: int) -> Picture:
        height = 40 if index < 6 else 24
        label = np.full((height, 36), index % 3, np.uint8)
        return Picture(np.full((height, 36, 3), index, np.uint8), label)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> PretrainReport:
    return pretrain(ProceduralPictures(size=40), tmp_path_factory.mktemp("pretrained"), TINY)


def grey_of(images: torch.Tensor) -> list[int]:
    """The grey value of each picture of a batch, from its first pixel's red channel."""
    return [round((float(image[0, 0, 0]) * 0.229 + 0.485) * 255) for image in images]


def test_training_lowers_the_loss(trained: PretrainReport) -> None:
    assert trained.losses[0] < math.log(21)  # of a uniform guess
    assert trained.losses[-1] < trained.losses[0]


def test_the_weights_load_into_a_fresh_network_without_a_rest(trained: PretrainReport) -> None:
    report = load_pretrained(DilatedResNet18(21), read_checkpoint(trained.path))
    assert len(report.matched) >= 102
    assert not report.reinitialised
    assert not report.unused


def test_a_second_call_reuses_the_files(trained: PretrainReport) -> None:
    stamp = trained.path.stat().st_mtime_ns
    again = pretrain(ProceduralPictures(size=40), trained.path.parent, TINY)
    assert again == trained
    assert trained.path.stat().st_mtime_ns == stamp


def test_another_configuration_or_picture_set_has_another_name(
    trained: PretrainReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub_fit(monkeypatch)
    paths = {
        pretrain(ProceduralPictures(size=40), tmp_path, replace(TINY, seed=1)).path.name,
        pretrain(ProceduralPictures(size=40, seed=1), tmp_path, TINY).path.name,
        trained.path.name,
    }
    assert len(paths) == 3


def test_weights_that_do_not_fit_their_report_are_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub_fit(monkeypatch)
    first = pretrain(ProceduralPictures(size=40), tmp_path, TINY)
    content = first.path.read_bytes()
    first.path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    lines: list[str] = []
    pretrain(ProceduralPictures(size=40), tmp_path, TINY, progress=lines.append)
    assert first.path.read_bytes() == content
    assert "training again" in lines[0]


def test_the_report_beside_the_weights_is_valid_json_with_both_figures(
    trained: PretrainReport,
) -> None:
    values = json.loads(trained.path.with_suffix(".json").read_text("utf-8"))
    assert values["mean_iou"] == trained.mean_iou
    assert values["floor_mean_iou"] == trained.floor_mean_iou
    assert values["config"]["epochs"] == 2
    assert values["pictures"] == 64  # an endless set gives new pictures in every epoch


def test_the_floor_is_the_background_share_over_the_classes(trained: PretrainReport) -> None:
    source = ProceduralPictures(size=40)
    labels = np.concatenate([source.read("validation", i).label.ravel() for i in range(8)])
    valid = labels[labels != 255]
    present = len(np.unique(valid))
    assert trained.floor_mean_iou == pytest.approx((valid == 0).mean() / present, abs=1e-12)


def test_an_interruption_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(
            ProceduralPictures(size=40), tmp_path, replace(TINY, pictures=8), progress=interrupt
        )
    assert list(tmp_path.iterdir()) == []


def test_equal_seeds_give_equal_weights(tmp_path: Path) -> None:
    config = replace(TINY, pictures=16, epochs=1, validation=2)
    reports = [pretrain(ProceduralPictures(size=40), tmp_path / name, config) for name in "ab"]
    assert reports[0].path.read_bytes() == reports[1].path.read_bytes()


def test_a_loss_that_is_not_finite_stops_with_epoch_and_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*arguments: object, **options: object) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.tensor(float("inf")), torch.ones(21, 21, dtype=torch.int64)

    monkeypatch.setattr(fit_module, "fused_cross_entropy", lambda device: explode)
    with pytest.raises(
        NonFiniteLossError, match="loss inf in epoch 1, step 1; lower the learning rate"
    ):
        pretrain(ProceduralPictures(size=40), tmp_path, TINY)
    assert list(tmp_path.iterdir()) == []


@dataclass(frozen=True)
class IgnoredPictures(NumberedPictures):
    """The same pictures with every pixel ignored."""

    def read(self, part: str, index: int) -> Picture:
        picture = super().read(part, index)
        return replace(picture, label=np.full_like(picture.label, 255))


def test_a_step_without_a_valid_pixel_is_skipped() -> None:
    network = DilatedResNet18(3)
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    loss = fit_module._train_epoch(
        network,
        torch.optim.SGD(network.parameters()),
        choose_compute("fp32"),
        IgnoredPictures(),
        replace(TINY, pictures=0),
        epoch=0,
    )
    assert loss == 0.0
    for name, value in network.named_parameters():
        assert torch.equal(value, before[name])


def test_a_validation_part_without_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no validation picture has a labelled pixel"):
        pretrain(IgnoredPictures(), tmp_path, replace(TINY, pictures=0, validation=0))
    assert list(tmp_path.iterdir()) == []


def test_an_epoch_of_a_finite_set_has_every_picture_once_in_a_seeded_order() -> None:
    config = replace(TINY, pictures=0, batch=4)
    orders = [
        [
            grey
            for batch in training_batches(NumberedPictures(), config, epoch=epoch)
            for grey in grey_of(batch.images)
        ]
        for epoch in (0, 0, 1)
    ]
    assert sorted(orders[0]) == list(range(10))
    assert orders[0] == orders[1] != orders[2]


def test_small_pictures_are_filled_up_with_ignored_pixels() -> None:
    config = replace(TINY, pictures=0, batch=10)
    batch = next(training_batches(NumberedPictures(), config, epoch=0))
    assert batch.images.shape == (10, 3, 32, 32)
    small = [i for i, grey in enumerate(grey_of(batch.images)) if grey >= 6]
    assert len(small) == 4
    for i in small:
        assert (batch.labels[i, 24:] == 255).all()
        assert (batch.labels[i, :24] != 255).all()
        assert batch.images[i, :, 24:].abs().max() < 0.02  # the mean colour, in eight bits


def test_validation_pictures_stay_whole_and_in_order() -> None:
    batches = list(validation_batches(NumberedPictures(), replace(TINY, validation=0, batch=4)))
    assert [tuple(batch.labels.shape) for batch in batches] == [
        (4, 40, 36),
        (2, 40, 36),
        (4, 24, 36),
    ]
    assert [grey for batch in batches for grey in grey_of(batch.images)] == list(range(10))


def test_the_one_cycle_schedule_rises_for_a_fifth_and_falls_to_nearly_zero() -> None:
    cycle = replace(TINY, schedule="one-cycle")
    rates = [learning_rate(cycle, step, 100) for step in range(100)]
    assert int(np.argmax(rates)) == 19
    assert max(rates) == cycle.learning_rate
    assert 0 < rates[-1] < 0.01 * cycle.learning_rate


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"epochs": 0}, "epochs = 0: expected at least 1"),
        ({"crop": 8}, "crop = 8: expected at least 16"),
        ({"learning_rate": 0.0}, "learning_rate = 0.0: expected 0 to 1"),
    ],
)
def test_wrong_settings_are_refused(option: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(TINY, **option)  # type: ignore[arg-type]


def test_an_endless_set_needs_a_number_of_pictures(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="pictures = 0: procedural-seed0-size72 has no end"):
        pretrain(ProceduralPictures(), tmp_path, replace(TINY, pictures=0))


def test_the_command_prints_figure_and_floor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stub_fit(monkeypatch)
    report = pretrain_command(procedural=True, out=tmp_path, epochs=1)
    printed = capsys.readouterr().out
    assert "validation mean IoU 0.583, background everywhere 0.300" in printed
    assert str(report.path) in printed


@pytest.mark.parametrize("arguments", [{}, {"voc_dir": Path("VOC2012"), "procedural": True}])
def test_the_command_wants_one_source(arguments: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="expected either VOC_DIR or --procedural"):
        pretrain_command(**arguments)  # type: ignore[arg-type]


def stub_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the training by a result of known figures."""

    def result(source: object, config: PretrainConfig, *, progress: object) -> Fit:
        confusion = torch.zeros(21, 21, dtype=torch.int64)
        confusion[0, 0], confusion[1, 1], confusion[1, 2] = 6, 3, 1
        return Fit(
            state={"fc.bias": torch.zeros(21)},
            best_epoch=1,
            confusion=confusion,
            losses=(1.0,),
            pictures=10,
            seconds=0.0,
            device="none",
        )

    monkeypatch.setattr(fit_module, "fit", result)
