"""tools/gpu_check.py, as far as a machine without a GPU can tell."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

# looking for pip asks setuptools' own finder, which minds whatever imported distutils before
pytestmark = pytest.mark.filterwarnings("ignore:Setuptools is replacing distutils")

ROOT = Path(__file__).parent.parent


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import gpu_check
    from gpu_checking import check, requirements, timings, verdicts
    from losses.agreement import check_agreement  # found once timings has said where
    from measuring import race

    return SimpleNamespace(
        command=gpu_check,
        check=check,
        requirements=requirements,
        timings=timings,
        race=race,
        agreement=check_agreement,
        verdicts=verdicts,
    )


@pytest.fixture
def no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def one_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "A device")


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    return line


@pytest.mark.usefixtures("no_device")
def test_without_a_device_it_says_so_in_one_line(
    tool: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tool.command.main([str(tmp_path / "out")]) == 2
    assert "no CUDA device" in one_line(capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("minutes", ["0", "-1", "nan"])
def test_a_budget_that_is_none_is_refused(
    tool: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str], minutes: str
) -> None:
    assert tool.command.main([str(tmp_path), f"--budget-minutes={minutes}"]) == 2
    assert "--budget-minutes is" in one_line(capsys)


def test_a_file_in_place_of_the_folder_is_refused(
    tool: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert tool.command.main([str(tmp_path / "file")]) == 2
    assert "name a folder" in one_line(capsys)


@pytest.mark.usefixtures("one_device")
def test_a_missing_module_and_a_missing_compiler_are_named_with_their_cure(
    tool: SimpleNamespace,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    present = tool.requirements.find_spec
    monkeypatch.setattr(
        tool.requirements, "find_spec", lambda name: None if "wadler" in name else present(name)
    )
    monkeypatch.setattr(
        tool.requirements, "find_tool", lambda name: None if name == "nvcc" else f"/bin/{name}"
    )
    assert tool.command.main([str(tmp_path)]) == 2
    line = one_line(capsys)
    assert "cannot import wadler_lindig" in line
    assert "pip download wadler-lindig" in line
    assert "PYTHONPATH" in line
    assert "nvcc not found: put it on PATH" in line


def test_a_missing_torch_is_named_first(
    tool: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool.requirements, "find_spec", lambda name: None)
    with pytest.raises(tool.requirements.NotRunError, match="cannot import torch"):
        tool.requirements.find_device()


def test_only_files_marked_gpu_are_asked_for_their_imports(
    tool: SimpleNamespace, tmp_path: Path
) -> None:
    (tmp_path / "test_a.py").write_text("import hypothesis.strategies\nimport json\n")
    (tmp_path / "test_b.py").write_text(
        "from __future__ import annotations\nimport pytest\nfrom tomolift.ops import dice\n"
        "def test_x():\n    from beartype import door\npytestmark = pytest.mark.gpu\n"
    )
    files = tool.requirements.marked(tmp_path)
    assert [path.name for path in files] == ["test_b.py"]
    assert tool.requirements.imported(files) == {"pytest", "beartype"}


def test_the_repositorys_gpu_tests_are_found(tool: SimpleNamespace) -> None:
    assert tool.requirements.marked(tool.requirements.OPS / "tests")
    assert tool.requirements.marked(tool.requirements.DATA / "tests")


def test_a_toolkit_is_found_beside_its_compiler(tool: SimpleNamespace, tmp_path: Path) -> None:
    sanitizer = tmp_path / "compute-sanitizer"
    sanitizer.touch(mode=0o755)
    found = tool.requirements.find_tool("compute-sanitizer", beside=str(tmp_path / "nvcc"))
    assert found == str(sanitizer)


@pytest.mark.parametrize(
    ("status", "closing", "expected"),
    [
        (0, "42 passed, 3 skipped, 17 deselected in 12.34s", ("ran", 42, 0, 3)),
        (0, "==== 80 passed, 1 warning in 65.22s (0:01:05) ====", ("ran", 80, 0, 0)),
        (1, "1 failed, 41 passed in 9.00s", ("failed", 41, 1, 0)),
        (0, "44 skipped in 2.10s", ("failed", 0, 0, 44)),
        (5, "17 deselected in 0.52s", ("failed", 0, 0, 0)),
        (139, "Segmentation fault", ("failed", 0, 0, 0)),
    ],
)
def test_pytests_closing_line_is_judged(
    tool: SimpleNamespace, status: int, closing: str, expected: tuple[object, ...]
) -> None:
    text = f"..s.   [100%]\n= short test summary info =\n9 passed without a duration\n{closing}\n"
    part = tool.verdicts.judge_tests(status, text)
    assert tuple(part[key] for key in ("status", "passed", "failed", "skipped")) == expected


def test_errors_of_collection_are_counted(tool: SimpleNamespace) -> None:
    part = tool.verdicts.judge_tests(2, "2 errors in 0.31s")
    assert (part["status"], part["errors"]) == ("failed", 2)


MEMCHECK = """\
========= COMPUTE-SANITIZER
.F
========= Invalid __global__ write of size 4 bytes
=========     at void tomolift::prepare(tomolift::Arguments)+0x170 in voxel.cu:32
=========     by thread (0,0,0) in block (0,0,0)
=========     Address 0x7fb6a4000001 is misaligned
=========
8 passed, 40 deselected in 91.20s (0:01:31)
========= ERROR SUMMARY: 1 error
"""
RACECHECK = """\
========= COMPUTE-SANITIZER
8 passed in 91.20s (0:01:31)
========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)
"""


def test_a_sanitizers_report_fails_the_part_though_the_tests_passed(tool: SimpleNamespace) -> None:
    part = tool.verdicts.judge_sanitizer(0, MEMCHECK)
    assert (part["status"], part["reports"], part["passed"]) == ("failed", 1, 8)
    (first,) = part["first"]
    assert first.startswith("Invalid __global__ write of size 4 bytes at void tomolift::prepare")


def test_a_silent_sanitizer_passes(tool: SimpleNamespace) -> None:
    part = tool.verdicts.judge_sanitizer(0, RACECHECK)
    assert (part["status"], part["reports"], part["first"]) == ("ran", 0, [])


def test_racechecks_hazards_count(tool: SimpleNamespace) -> None:
    text = RACECHECK.replace("0 hazards displayed (0", "2 hazards displayed (2")
    assert tool.verdicts.judge_sanitizer(0, text)["reports"] == 2


def test_tests_that_fail_under_a_silent_sanitizer_fail_the_part(tool: SimpleNamespace) -> None:
    text = RACECHECK.replace("8 passed", "1 failed, 7 passed")
    assert tool.verdicts.judge_sanitizer(1, text)["status"] == "failed"


def test_a_sanitizer_without_a_summary_fails(tool: SimpleNamespace) -> None:
    part = tool.verdicts.judge_sanitizer(255, "========= Error: no device\n")
    assert (part["status"], "without a summary" in part["why"]) == ("failed", True)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "*** Configuring\nCMake Error at a.cmake:8 (message):\n  TOMOLIFT_CUDA is ON and\n"
            "  nothing was found\n\nCall Stack (most recent call first):\n  b.cmake:9\n\n"
            "*** CMake configuration failed\nerror: subprocess\n",
            "TOMOLIFT_CUDA is ON and nothing was found",
        ),
        ("[1/9] nvcc\na.cu(3): error: x is undefined\nfailed\n", "a.cu(3): error: x is undefined"),
        ("killed\n", "killed"),
    ],
)
def test_a_builds_first_error_is_named(tool: SimpleNamespace, text: str, error: str) -> None:
    assert tool.verdicts.first_error(text) == error


def test_benchmarks_keep_their_median_and_what_they_say(tool: SimpleNamespace) -> None:
    case = {"name": "bench[x]", "stats": {"median": 2e-3}, "extra_info": {"ratio": 3.5}}
    (read,) = tool.verdicts.read_benchmarks(json.dumps({"benchmarks": [case]}))
    assert read == {"name": "bench[x]", "median_us": pytest.approx(2000), "ratio": 3.5}


def test_medians_are_told_with_how_many_times_as_long_the_others_take(
    tool: SimpleNamespace,
) -> None:
    times = {"ours": [2e-6, 9e-6, 1e-6], "eager": [6e-6, 5e-6, 9e-6]}
    case = tool.timings.summarise(times)
    assert case["medians_us"] == {"ours": 2.0, "eager": 6.0}
    assert case["times_as_long"] == {"eager": 3.0}
    assert case["rounds"] == 3


def test_the_least_traffic_is_held_against_the_copy(tool: SimpleNamespace) -> None:
    """12 voxels of 3 classes: float32 moves 2 * 144 + 12 bytes, its copy 2 * 144."""
    times = {"ours": [2e-6, 9e-6, 1e-6], "copy": [1e-6, 1e-6, 1e-6]}
    case = tool.timings.bandwidth(times, moved=300, copied=288)
    assert case["copy_gb_per_s"] == 0.3
    assert case["share_of_copy_bandwidth"] == pytest.approx(300 / 2 / 288, abs=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_timed_computes_the_same(tool: SimpleNamespace, dtype: torch.dtype) -> None:
    dense = tool.timings.Problem((2, 3, 4, 5, 6), dtype=dtype)
    low = tool.timings.Problem((2, 3, 2, 3, 4), label_shape=(4, 5, 6))
    for contenders in (
        tool.timings.dense_contenders(dense),
        tool.timings.upsampled_contenders(low),
    ):
        assert {"ours", "eager"} <= set(contenders)
        tool.race.check_contenders(contenders, tool.agreement)


def test_a_case_that_fails_is_named_and_the_others_are_kept(tool: SimpleNamespace) -> None:
    def explode() -> dict[str, object]:
        raise RuntimeError("no memory\nand a long trace")

    found = tool.timings.perform({"a": lambda: {"rounds": 1}, "b": explode, "c": dict})
    assert found["status"] == "failed"
    assert found["why"] == "b: RuntimeError: no memory"
    assert found["cases"] == [{"name": "a", "rounds": 1}, {"name": "c"}]


def test_every_case_of_the_targets_is_planned(tool: SimpleNamespace) -> None:
    names = set(tool.timings.plan())
    assert {"dense float32", "dense bfloat16", "up-sampled, batch of 1"} <= names


def test_a_spread_selection_is_small_and_reaches_far(tool: SimpleNamespace) -> None:
    names = [str(number) for number in range(70)]
    assert tool.check.spread(names, 8) == [str(number) for number in range(0, 70, 9)]
    assert tool.check.spread(names[:3], 8) == names[:3]


def checked(tool: SimpleNamespace, folder: Path, *, seconds: float) -> Any:
    return tool.check.Check(folder / "log", time.monotonic() + seconds, folder, "/bin/nvcc")


def test_commands_see_the_build_first_and_are_logged(
    tool: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/earlier")
    check = checked(tool, tmp_path, seconds=60)
    script = "import os; print(os.environ['PYTHONPATH'], os.environ['EXTRA'])"
    assert check.run(sys.executable, "-S", "-c", "print('first')") == (0, "first\n")
    status, text = check.run(sys.executable, "-S", "-c", script, EXTRA="yes")
    assert (status, text) == (0, f"{tmp_path / 'site'}{os.pathsep}/earlier yes\n")
    log = (tmp_path / "log").read_text()
    assert log.count("\n$ ") == 2
    assert log.endswith(text)


def test_the_feeders_tests_run_against_the_sources_without_a_build(
    tool: SimpleNamespace, tmp_path: Path
) -> None:
    """Without a device all are skipped, which the part does not take for a pass."""
    check = checked(tool, tmp_path, seconds=100)
    files = tool.requirements.marked(tool.requirements.DATA / "tests")
    parts = {"feeders": lambda: check.test_feeders(files)}
    assert tool.command.perform(parts, {"device": "d"}, tmp_path / "r.json") == 1
    report = json.loads((tmp_path / "r.json").read_text())["parts"]["feeders"]
    assert (report["status"], report["passed"], report["failed"]) == ("failed", 0, 0)
    assert report["skipped"] >= len(files)


def test_the_feeders_tests_say_which_module_is_missing(
    tool: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool.check, "find_spec", lambda name: None if name == "isal" else object())
    with pytest.raises(tool.requirements.NotRunError, match=r"import isal: .*download isal"):
        checked(tool, tmp_path, seconds=9).test_feeders([])


def test_what_outlasts_the_budget_is_stopped_and_the_rest_skipped(
    tool: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = checked(tool, tmp_path, seconds=0.3)
    with pytest.raises(tool.requirements.NotRunError, match="no time was left"):
        check.run("sleep", "30")
    monkeypatch.setattr(tool.check, "LEAST_SECONDS", 0.01)
    start = time.monotonic()
    with pytest.raises(tool.requirements.NotRunError, match="the end of the budget"):
        check.run("sleep", "30")
    assert time.monotonic() - start < 5


def test_a_build_that_another_installation_hides_is_refused(
    tool: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = checked(tool, tmp_path, seconds=60)
    said = json.dumps({"file": "/elsewhere/tomolift/ops/__init__.py", "cuda": True})
    monkeypatch.setattr(check, "run", lambda *command: (0, f"noise\n{said}\n"))
    part = check.build("90")
    assert part["status"] == "failed"
    assert "another tomolift-ops hides this build" in part["why"]


def test_the_build_is_for_this_device_alone(
    tool: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = checked(tool, tmp_path, seconds=60)
    said = json.dumps({"file": f"{tmp_path}/site/tomolift/ops/__init__.py", "cuda": True})
    commands: list[tuple[str, ...]] = []

    def run(*command: str) -> tuple[int, str]:
        commands.append(command)
        return 0, said

    monkeypatch.setattr(check, "run", run)
    assert check.build("90") == {"status": "ran", "cuda": True}
    assert "--config-settings=cmake.define.TOMOLIFT_CUDA_ARCHITECTURES=90" in commands[0]
    assert {"--no-index", "--no-deps", "--no-build-isolation"} <= set(commands[0])
    cmake = (ROOT / "csrc" / "CMakeLists.txt").read_text()
    assert "set(TOMOLIFT_CUDA_ARCHITECTURES " in cmake


def ran(**more: object) -> dict[str, object]:
    return {"status": "ran", **more}


def test_the_report_holds_every_part_and_why_one_did_not_run(
    tool: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = {"name": "x", "medians_us": {"ours": 7.0}, "times_as_long": {"eager": 2.0, "copy": 0.5}}

    def out_of_time() -> dict[str, object]:
        raise tool.requirements.NotRunError("no time was left of the budget")

    parts = {
        "build": ran,
        "tests": lambda: ran(passed=3, failed=0, skipped=1),
        "timings": lambda: ran(cases=[case]),
        "memcheck": out_of_time,
    }
    assert tool.command.perform(parts, {"device": "A device"}, tmp_path / "r.json") == 0
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["machine"] == {"device": "A device"}
    assert report["parts"]["tests"]["passed"] == 3
    assert report["parts"]["memcheck"]["status"] == "not run"
    assert report["parts"]["memcheck"]["why"] == "no time was left of the budget"
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "A device"
    assert printed[2].endswith("3 passed, 0 failed, 1 skipped")
    assert printed[4] == "  x: 7 us; times as long: eager 2.00, copy 0.50"
    assert printed[5].endswith("no time was left of the budget")


def test_one_failed_part_fails_the_check_and_the_others_still_run(
    tool: SimpleNamespace, tmp_path: Path
) -> None:
    parts = {"build": ran, "tests": lambda: tool.verdicts.failed("x"), "timings": ran}
    assert tool.command.perform(parts, {"device": "d"}, tmp_path / "r.json") == 1
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["parts"]["timings"]["status"] == "ran"


def test_nothing_runs_without_the_build(tool: SimpleNamespace, tmp_path: Path) -> None:
    parts = {"build": lambda: tool.verdicts.failed("no"), "tests": lambda: pytest.fail("ran")}
    assert tool.command.perform(parts, {"device": "d"}, tmp_path / "r.json") == 1
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["parts"]["tests"]["why"] == "ops was not built"
