"""The coverage over families of timm: its document, and two families where timm is at hand."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs" / "results"


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))


@pytest.fixture
def found() -> dict[str, Any]:
    return json.loads((RESULTS / "timm_coverage.json").read_text())


@pytest.fixture
def timm(tools: None) -> Any:
    """The one that `nox -s coverage_timm` installed; its modules are forgotten afterwards."""
    from timm_coverage.importing import import_timm

    folders = sorted((ROOT / ".nox").glob("timm-*"))
    if not folders:
        pytest.skip("timm is not here: run `nox -s coverage_timm` once")
    before, path, finders = set(sys.modules), list(sys.path), list(sys.meta_path)
    yield import_timm(folders[-1])
    sys.path[:], sys.meta_path[:] = path, finders
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("timm", "torchvision", "yaml"):
            del sys.modules[name]


def test_the_document_equals_what_its_json_generates(tools: None, found: dict[str, Any]) -> None:
    from generated_section import replace_section
    from timm_coverage.document import section

    document = (RESULTS / "inflation.md").read_text()
    assert replace_section(document, "coverage", section(found)) == document


def test_every_family_that_was_named_beforehand_is_in_the_json_and_none_is_silently_wrong(
    tools: None, found: dict[str, Any]
) -> None:
    from timm_coverage.networks import families

    assert {family: each["network"] for family, each in found["networks"].items()} == families()
    assert len(families()) == 36
    assert all(each["verdict"] != "silently wrong" for each in found["networks"].values())
    for each in found["networks"].values():
        assert (each["error"] is None) == (each["verdict"] == "refused")
        assert each["error"] is None or each["error"] <= found["tolerance"] <= 1e-4


@pytest.mark.parametrize("family", ["regnetx", "resnet"])
def test_a_family_of_timm_converts_exactly(timm: Any, family: str) -> None:
    from timm_coverage.measuring import measure
    from timm_coverage.networks import build, families

    finding = measure(build(timm, families()[family], seed=1), seed=1)
    assert finding.verdict == "exact", finding
    assert finding.error is not None
    assert finding.error <= 1e-4


def test_the_measurement_sees_one_wrong_slice(tools: None) -> None:
    from timm_coverage.measuring import every_slice

    expected = torch.randn(1, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    result = expected.unsqueeze(2).repeat(1, 1, 5, 1, 1)
    assert every_slice(expected, result) == 0.0
    result[0, 1, 4, 2, 2] += expected.abs().max() / 2
    assert every_slice(expected, result) == pytest.approx(0.5)
