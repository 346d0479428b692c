from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tomolift.data import BadInput
from tomolift.data._msd import read_task, source_path


def code_of(folder: Path) -> str:
    with pytest.raises(BadInput) as caught:
        read_task(folder)
    assert "dataset.json" in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value.code


def test_a_task_lists_cases_in_file_order_and_labels_in_class_order(task: Any) -> None:
    for name in ("b_2", "a_1", "c_3"):
        task.list(name)
    labels = {"10": "k", "2": "c", "0": "a", "1": "b"} | {str(i): f"n{i}" for i in range(3, 10)}
    task.write(labels=labels, numTraining=99)
    found = read_task(task.folder)
    assert [case.name for case in found.cases] == ["b_2", "a_1", "c_3"]
    assert found.label_names[:3] == ("a", "b", "c")
    assert found.label_names[10] == "k"


def test_two_classes_of_one_name_are_told_apart_by_number(task: Any) -> None:
    task.list("a")
    task.write(labels={"0": "background", "1": "tumour", "2": "tumour"})
    with pytest.raises(BadInput, match=r"labels 1 and 2 are both 'tumour'; give every class its"):
        read_task(task.folder)


def test_resource_forks_of_macos_are_passed_over(task: Any) -> None:
    task.list("a")
    task.list("._a")
    assert [case.name for case in read_task(task.folder).cases] == ["a"]


def test_a_missing_dataset_json_is_named_with_its_cure(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"dataset.json: is not there; name a folder in MSD layout"):
        read_task(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", "\udcff", "[" * 100000, '{"a": ' + "9" * 5000 + "}", "{}", "null"],
    ids=range(9),
)
def test_an_unreadable_dataset_json_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "dataset.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert code_of(tmp_path) == "E_DATASET_JSON"


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": {}},
        {"labels": ["background"]},
        {"labels": {"x": "a"}},
        {"labels": {"-1": "a"}},
        {"labels": {"1": "a"}},
        {"labels": {"0": "a", "2": "b"}},
        {"labels": {"0": "a", "00": "b"}},
        {"labels": {"0": "a", "255": "b"}},
        {"labels": {"0": 3}},
        {"labels": {"0": "a", "1": "b", "2": "a"}},
        {"labels": {"0": "a", "1": ""}},
        {"labels": {"0": "a", "1": " "}},
        {"labels": {"0": "a", "1": "b\x1b[2J"}},
        {"labels": {"0": "a", "1": "b\nc"}},
        {"training": None},
        {"training": []},
        {"training": ["imagesTr/a.nii.gz"]},
        {"training": [{"image": "imagesTr/a.nii.gz"}]},
        {"training": [{"image": 1, "label": 2}]},
        {"training": [{"image": "imagesTr/a.txt", "label": "l/a.nii"}]},
        {"training": [{"image": "imagesTr/a\n.nii", "label": "l/a.nii"}]},
        {"training": [{"image": "imagesTr/.nii.gz", "label": "l/a.nii"}]},
        {"name": 7},
    ],
)
def test_a_dataset_json_that_describes_no_task_is_refused(
    task: Any, changes: dict[str, Any]
) -> None:
    task.list("a")
    task.write(**changes)
    assert code_of(task.folder) == "E_DATASET_JSON"


@pytest.mark.parametrize(
    "second",
    [
        {"image": "imagesTr/a.nii.gz", "label": "labelsTr/b.nii.gz"},
        {"image": "other/a.nii.gz", "label": "labelsTr/b.nii.gz"},
        {"image": "imagesTr/b.nii.gz", "label": "labelsTr/a.nii.gz"},
        {"image": "imagesTr/b.nii.gz", "label": "./imagesTr/b.nii.gz"},
    ],
)
def test_a_case_or_file_listed_twice_is_refused(task: Any, second: dict[str, str]) -> None:
    task.list("a")
    task.entries.append(second)
    task.write()
    assert code_of(task.folder) == "E_DUPLICATE"


@pytest.mark.parametrize(
    "relative",
    ["/etc/passwd", "../x.nii", "imagesTr/../../x.nii", "a\0b.nii", "..\\x.nii", "link/x.nii",
     "link.nii", "pipe.nii", "imagesTr"],
)  # fmt: skip
def test_a_path_out_of_the_folder_or_to_no_file_is_refused(task: Any, relative: str) -> None:
    task.add("a")
    (task.folder.parent / "x.nii").write_bytes(b"secret")
    (task.folder / "link").symlink_to(task.folder.parent)
    (task.folder / "link.nii").symlink_to(task.folder.parent / "x.nii")
    os.mkfifo(task.folder / "pipe.nii")
    with pytest.raises(BadInput) as caught:
        source_path(read_task(task.folder), relative)
    assert caught.value.code == "E_PATH"


def test_a_link_inside_the_folder_is_followed(task: Any) -> None:
    task.add("a")
    (task.folder / "again.nii.gz").symlink_to(task.image("a"))
    assert source_path(read_task(task.folder), "again.nii.gz").is_file()


@pytest.mark.parametrize("relative", ["gone.nii", "loop.nii", "\ud800.nii"])
def test_a_file_that_is_not_there_is_named(task: Any, relative: str) -> None:
    task.add("a")
    (task.folder / "loop.nii").symlink_to("loop.nii")
    with pytest.raises(BadInput) as caught:
        source_path(read_task(task.folder), relative)
    assert caught.value.code == "E_MISSING"
    assert str(caught.value).isprintable()


def test_json_with_a_byte_order_mark_is_read(task: Any) -> None:
    task.list("a")
    path = task.folder / "dataset.json"
    path.write_text("\ufeff" + json.dumps(json.loads(path.read_text())))
    assert len(read_task(task.folder).cases) == 1


def test_a_message_quotes_long_names_without_their_middle(task: Any) -> None:
    task.list("a")
    task.write(labels={"0": "background", "1" * 5000: "organ"})
    with pytest.raises(BadInput, match=r"label key '1+\.\.\.1+' is no class number") as caught:
        read_task(task.folder)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("depth", range(600, 1000, 7))
def test_an_entry_nested_up_to_the_limit_of_the_json_reader_is_refused(
    task: Any, depth: int
) -> None:
    task.write(training=["NESTED"])
    path = task.folder / "dataset.json"
    path.write_text(path.read_text().replace('"NESTED"', "[" * depth + "]" * depth))
    assert code_of(task.folder) == "E_DATASET_JSON"


def test_a_long_path_keeps_both_its_ends_in_a_message() -> None:
    message = str(BadInput("E_PATH", "start/" + "x/" * 2000 + "end", "leaves", "correct it"))
    assert message.startswith("start/x/")
    assert " ... " in message
    assert "x/end: leaves; correct it [E_PATH]" in message
    assert len(message) < 500
