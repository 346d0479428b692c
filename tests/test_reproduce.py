"""The main job, end to end, at a size that takes seconds."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tomolift.data import open_cache
from tomolift.training import _loop, cli
from tomolift.training._checkpoint import read_envelope

ROWS = ["background", "mean-mask", "2d", "2d-continued", "random", "zero", "average", "scaling"]


@pytest.fixture(scope="module")
def command(tiny_task: Path, tiny_weights: Path, tiny_profile: Path) -> list[str]:
    return [
        "reproduce",
        *("--profile", str(tiny_profile)),
        *("--data", str(tiny_task)),
        *("--weights", str(tiny_weights)),
    ]


@pytest.fixture(scope="module")
def finished(command: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    assert cli.main([*command, "--out", str(out)]) == 0
    return out


def refuse(word: str) -> float:
    raise AssertionError(f"{word} in report.json")


def read_report(out: Path) -> dict[str, Any]:
    text = (out / "report.json").read_text()
    report: dict[str, Any] = json.loads(text, parse_constant=refuse)
    return report


def test_the_table_has_every_row_with_the_contracts_keys(finished: Path) -> None:
    table = read_report(finished)["table"]
    assert [row["arm"] for row in table] == ROWS
    for row in table:
        assert 0 <= row["mean_iou_pooled"] <= 1
        assert 0 <= row["mean_iou_per_case"] <= 1
        for per_class in (row["iou"], row["dice"], row["excluded"]):
            assert list(per_class) == ["background", "organ", "core"]
        assert row["epochs"] == {"2d": 1}.get(row["arm"], 0 if row in table[:2] else 2)
        assert row["seconds_per_epoch"] >= 0
    paper = {row["arm"]: row["paper_mean_iou"] for row in table}
    assert paper["average"] == 0.3835
    assert paper["background"] is None


def test_the_background_row_is_the_class_shares_of_the_evaluation_cases(finished: Path) -> None:
    cache = open_cache(finished / "cache")
    cases = json.loads((finished / "split.json").read_text())["parts"][0]
    voxels = sum(cache.labels(case).size for case in cases)
    background = sum(int((cache.labels(case) == 0).sum()) for case in cases)
    row = read_report(finished)["table"][0]
    assert row["iou"] == {
        "background": pytest.approx(background / voxels), "organ": 0.0, "core": 0.0
    }  # fmt: skip
    assert row["mean_iou_pooled"] == pytest.approx(background / voxels / 3)


def test_every_arm_is_evaluated_on_the_same_voxels(finished: Path) -> None:
    voxels = set()
    for result in finished.glob("runs/*/result.json"):
        matrices = json.loads(result.read_text())["matrices"]
        voxels.add(tuple(int(torch.tensor(matrices[case]).sum()) for case in sorted(matrices)))
    assert len(voxels) == 1


def test_the_report_names_its_provenance(finished: Path) -> None:
    provenance = read_report(finished)["provenance"]
    for key in ("command", "device", "commit", "cache_fingerprint", "split_sha256", "config"):
        assert key in provenance
    assert provenance["weights"]["sha256"]
    text = (finished / "report.md").read_text()
    assert "3D, initialisation by averaging" in text
    assert "floor" in text


@pytest.mark.parametrize(
    "name", ["progress.png", "figures/curves.png", "figures/classes.png", "figures/overlays.png"]
)
def test_every_figure_is_a_png(finished: Path, name: str) -> None:
    assert (finished / name).read_bytes().startswith(b"\x89PNG")


def test_metrics_and_per_case_files_stand_beside_every_run(finished: Path) -> None:
    runs = sorted(finished.glob("runs/*"))
    assert len(runs) == 6
    for run in runs:
        records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        assert [record["epoch"] for record in records] == list(range(len(records)))
        assert all(math.isfinite(record["loss"]) for record in records[1:])
        assert len((run / "per_case.csv").read_text().splitlines()) == 1 + 2 * 3


def test_a_second_call_reuses_every_run_and_says_the_same(
    finished: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = read_report(finished)
    assert cli.main([*command, "--out", str(finished)]) == 0
    assert read_report(finished)["table"] == before["table"]
    said = capsys.readouterr().err
    assert said.count("finished before, reused") == 6
    assert "6 reused" in said


def test_an_interrupted_run_resumes_to_the_same_weights(
    command: list[str], finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_loop, "CHECKPOINT_SECONDS", 0.0)
    arms = ("--arms", "2d", "average", "--out", str(tmp_path))
    calls = 0
    original = _loop.train_epoch

    def interrupted(*arguments: Any, **keywords: Any) -> dict[str, Any]:
        nonlocal calls
        calls += 1
        if calls == 3:  # the second epoch of arm average
            raise KeyboardInterrupt
        return original(*arguments, **keywords)

    monkeypatch.setattr(_loop, "train_epoch", interrupted)
    assert cli.main([*command, *arms]) == 130
    (run,) = tmp_path.glob("runs/average-*")
    (checkpoint,) = run.glob("checkpoints/*.ckpt")
    assert read_envelope(checkpoint)[0]["epoch"] == 1
    assert not (run / "result.json").exists()

    monkeypatch.setattr(_loop, "train_epoch", original)
    assert cli.main(["resume", str(run)]) == 0
    (whole,) = finished.glob("runs/average-*")
    assert run.name == whole.name
    expected = load_file(whole / "network.safetensors")
    for name, value in load_file(run / "network.safetensors").items():
        assert torch.equal(value, expected[name]), name
    assert not (run / "checkpoints").exists()


def test_resume_refuses_what_is_no_run_and_what_has_changed(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run,) = finished.glob("runs/average-*")
    stored = json.loads((run / "run.json").read_text())
    spoiled: list[tuple[str, Any]] = [
        ("identity", "0" * 64), ("arm", ["average"]), ("fold", {}), ("config", {"name": 3}),
    ]  # fmt: skip
    for key, value in spoiled:
        copy = tmp_path / key / "runs" / run.name
        copy.mkdir(parents=True)
        (copy / "run.json").write_text(json.dumps({**stored, key: value}))
        assert cli.main(["resume", str(copy)]) == 2
        assert capsys.readouterr().err.count("error:") == 1
        assert not list(copy.glob("*.safetensors"))
    assert cli.main(["resume", str(tmp_path)]) == 2
    assert "no run to resume" in capsys.readouterr().err


def test_resume_finds_its_folder_from_inside_it(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (run,) = finished.glob("runs/average-*")
    monkeypatch.chdir(run)
    before = sorted(run.parent.iterdir())
    assert cli.main(["resume", "."]) == 0
    assert sorted(run.parent.iterdir()) == before
    assert not (run / "cache").exists()


def test_a_finished_network_that_changed_is_not_used(
    command: list[str], finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "out"
    shutil.copytree(finished, copy)
    (run,) = copy.glob("runs/2d-fold*")
    with (run / "network.safetensors").open("r+b") as stream:
        stream.seek(-1, 2)
        stream.write(b"\x7f")
    (average,) = copy.glob("runs/average-*")
    (average / "result.json").unlink()
    assert cli.main([*command, "--out", str(copy)]) == 2
    assert "changed since the run wrote it" in capsys.readouterr().err


def test_class_names_are_never_markup_formula_or_column(
    tiny_task: Path, tiny_profile: Path, tmp_path: Path
) -> None:
    task = tmp_path / "task"
    shutil.copytree(tiny_task, task)
    dataset = json.loads((task / "dataset.json").read_text())
    dataset["labels"] |= {"1": r"a $\foo$ b|c", "2": "x[/y]"}
    (task / "dataset.json").write_text(json.dumps(dataset))
    out = tmp_path / "out"
    arguments = ["reproduce", "--profile", str(tiny_profile), "--data", str(task)]
    assert cli.main([*arguments, "--arms", "random", "--out", str(out)]) == 0
    header, rule = (out / "report.md").read_text().split("\n| ")[1].split("\n")[:2]
    assert header.replace("\\|", "").count("|") == rule.count("|") - 1


@pytest.mark.slow
def test_the_command_runs_on_real_volumes_from_real_weights(shared: Path, tmp_path: Path) -> None:
    code = cli.main(
        [
            "reproduce",
            *("--profile", "hippocampus"),
            *("--data", str(shared / "data" / "Task04_Hippocampus")),
            *("--weights", str(shared / "weights" / "resnet18_8s_camvid.pth")),
            *("--cases", "20", "--epochs", "1", "--arms", "2d"),
            *("--out", str(tmp_path)),
        ]
    )
    assert code == 0
    table = {row["arm"]: row for row in read_report(tmp_path)["table"]}
    assert set(table["2d"]["iou"]) == {"background", "Anterior", "Posterior"}
    # One epoch on sixteen cases already leaves the floor far behind (0.5 and more when written).
    assert table["2d"]["mean_iou_pooled"] > table["background"]["mean_iou_pooled"] + 0.05
