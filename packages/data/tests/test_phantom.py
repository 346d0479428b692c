from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tomolift.data._phantom import PHANTOM_VERSION, write_phantom
from tomolift.data.errors import BadInput

DEPTH = 70


def read(task: Path, case: int) -> tuple[np.ndarray, np.ndarray]:
    """HU and labels of a case, slices first."""
    paths = [task / folder / f"phantom_{case:03d}.nii.gz" for folder in ("imagesTr", "labelsTr")]
    image, labels = (np.asanyarray(nib.load(path).dataobj).transpose(2, 1, 0) for path in paths)
    return image, labels


def middle(volume: np.ndarray) -> np.ndarray:
    start = max(0, (len(volume) - DEPTH) // 2)
    return volume[start : start + DEPTH]


def file_bytes(task: Path) -> dict[str, bytes]:
    return {str(p.relative_to(task)): p.read_bytes() for p in task.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantom(tmp_path_factory.mktemp("phantom") / "Task99_Phantom")


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("control") / "Task99_Control"
    return write_phantom(folder, cases=3, depth_cues=False)


@pytest.fixture(scope="module")
def volumes(task: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    return [read(task, case) for case in range(16)]


def bowel(task: Path, control: Path, case: int) -> np.ndarray:
    """Bowel voxels: those that oral contrast, the control phantom's only difference, brightens."""
    difference = read(control, case)[0].astype(np.int32) - read(task, case)[0]
    return difference > 140


def test_two_of_sixteen_volumes_are_shorter_than_the_paper_depth(volumes):
    depths = [len(image) for image, _ in volumes]
    assert sum(depth < DEPTH for depth in depths) == 2
    assert min(depths) >= 60
    assert max(depths) <= 90
    assert len(set(depths)) > 5


def test_class_shares_of_the_middle_slices_are_like_pancreas_ct(volumes):
    kept = [middle(labels) for _, labels in volumes if len(labels) >= DEPTH]
    counts = np.array([np.bincount(labels.ravel(), minlength=3) for labels in kept])
    shares = counts.sum(axis=0) / counts.sum()
    assert 0.97 < shares[0] < 0.99
    assert 0.009 < shares[1] < 0.02
    assert 0.002 < shares[2] < 0.006


def test_every_pancreas_lies_inside_the_middle_slices(volumes):
    for _, labels in volumes:
        assert np.count_nonzero(middle(labels)) == np.count_nonzero(labels)


def test_every_pancreas_spans_25_to_50_slices(volumes):
    for _, labels in volumes:
        assert 25 <= labels.any(axis=(1, 2)).sum() <= 50


def test_most_cases_have_a_tumour_that_is_darker_than_the_pancreas(volumes):
    with_tumour = [(image, labels) for image, labels in volumes if (labels == 2).any()]
    assert len(with_tumour) == 14
    for image, labels in with_tumour:
        contrast = np.median(image[labels == 1]) - np.median(image[labels == 2])
        assert 40 < contrast < 65


def test_labels_are_0_1_2_and_images_are_int16_hu(volumes):
    for image, labels in volumes:
        assert labels.dtype == np.uint8
        assert set(np.unique(labels)) <= {0, 1, 2}
        assert image.dtype == np.int16
        assert image.min() >= -1024
        assert 350 < image.max() < 1500


def test_bowel_has_the_hu_distribution_of_pancreas_and_tumour(task, control):
    for case in range(3):
        image, labels = read(task, case)
        loops = image[bowel(task, control, case)]
        gland = image[labels > 0]
        # two-sample Kolmogorov-Smirnov distance; soft edges and the fluid's share differ a little
        values = np.arange(-300, 300)
        ranks = [np.searchsorted(np.sort(x), values) / x.size for x in (loops, gland)]
        assert np.abs(ranks[0] - ranks[1]).max() < 0.25
        assert abs(np.percentile(loops, 75) - np.percentile(gland, 75)) < 15


def test_bowel_of_the_control_phantom_is_told_by_hu_alone(task, control):
    for case in range(3):
        image, labels = read(control, case)
        loops = image[bowel(task, control, case)]
        assert np.percentile(loops, 10) > np.percentile(image[labels > 0], 99)


def test_control_phantom_has_the_same_labels_and_differs_in_bowel_only(task, control):
    for case in range(3):
        (image, labels), (other, other_labels) = read(task, case), read(control, case)
        assert np.array_equal(labels, other_labels)
        # the soft edge of a loop, and noise rounded to whole HU, reach into the gland's border
        assert np.median(np.abs(image[labels > 0].astype(int) - other[labels > 0])) == 0


def test_bowel_runs_through_more_slices_than_the_pancreas(task, control):
    for case in range(3):
        loops = bowel(task, control, case).sum(axis=(1, 2)) > 50
        pancreas = read(task, case)[1].any(axis=(1, 2))
        assert loops.sum() > 1.3 * pancreas.sum()


def test_folder_has_the_msd_layout_and_nothing_else(task):
    spec = json.loads((task / "dataset.json").read_text())
    assert spec["modality"] == {"0": "CT"}
    assert spec["labels"] == {"0": "background", "1": "pancreas", "2": "tumour"}
    assert spec["numTraining"] == len(spec["training"]) == 16
    assert spec["test"] == []
    listed = {str(Path(path)) for entry in spec["training"] for path in entry.values()}
    assert listed | {"dataset.json"} == set(file_bytes(task))
    assert [p.name for p in task.parent.iterdir()] == [task.name]


def test_image_and_label_share_an_lps_grid_of_ct_like_voxels(task):
    image = nib.load(task / "imagesTr" / "phantom_000.nii.gz")
    label = nib.load(task / "labelsTr" / "phantom_000.nii.gz")
    assert np.array_equal(image.affine, label.affine)
    assert image.shape == label.shape == (96, 96, image.shape[2])
    assert nib.aff2axcodes(image.affine) == ("L", "P", "S")
    assert image.header.get_zooms() == pytest.approx((3.15, 3.15, 2.8), rel=0.1)
    assert image.header["sform_code"] == image.header["qform_code"] == 1


def test_same_arguments_give_the_same_bytes(tmp_path):
    first, second = (
        write_phantom(tmp_path / name, cases=2, size=32, depth=20) for name in ("a", "b")
    )
    assert file_bytes(first) == file_bytes(second)


def test_the_drawing_is_that_of_its_version(tmp_path):
    folder = write_phantom(tmp_path / "task", cases=1, size=32, depth=20)
    image, labels = read(folder, 0)
    # whoever changes the drawing changes these numbers: PHANTOM_VERSION then rises with them
    assert PHANTOM_VERSION == 2
    assert np.bincount(labels.ravel()).tolist() == [24199, 291, 86]
    assert image.mean() == pytest.approx(-457.158, abs=0.01)


def test_another_seed_gives_other_volumes(tmp_path):
    first, second = (
        write_phantom(tmp_path / str(seed), cases=1, seed=seed, size=32, depth=20)
        for seed in (0, 1)
    )
    name = "labelsTr/phantom_000.nii.gz"
    assert file_bytes(first)[name] != file_bytes(second)[name]


def test_a_case_does_not_depend_on_how_many_there_are(tmp_path):
    few, more = (write_phantom(tmp_path / str(n), cases=n, size=32, depth=20) for n in (1, 3))
    for folder in ("imagesTr", "labelsTr"):
        name = f"{folder}/phantom_000.nii.gz"
        assert file_bytes(few)[name] == file_bytes(more)[name]


@pytest.mark.parametrize(("size", "depth"), [(32, 16), (48, 24), (64, 40)])
def test_small_phantoms_keep_all_classes_inside_the_kept_slices(tmp_path, size, depth):
    labels = read(write_phantom(tmp_path / "small", cases=1, size=size, depth=depth), 0)[1]
    start = (len(labels) - depth) // 2
    kept = labels[start : start + depth]
    assert labels.shape[1:] == (size, size)
    assert set(np.unique(kept)) == {0, 1, 2}
    assert np.count_nonzero(kept) == np.count_nonzero(labels)


def test_an_existing_empty_folder_is_filled(tmp_path):
    target = tmp_path / "empty"
    target.mkdir()
    assert write_phantom(target, cases=1, size=32, depth=16) == target
    assert (target / "dataset.json").is_file()


def test_a_folder_with_contents_is_refused_and_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(BadInput, match=r"is not an empty folder; name a new one"):
        write_phantom(tmp_path, cases=1, size=32, depth=16)
    assert file_bytes(tmp_path) == {"mine.txt": b"keep"}


@pytest.mark.parametrize("argument", ["cases", "size", "depth", "seed"])
def test_arguments_out_of_range_are_named(tmp_path, argument):
    with pytest.raises(BadInput, match=rf"{argument}: is -1, expected at least \d+; raise it"):
        write_phantom(tmp_path / "new", **{argument: -1})
    assert list(tmp_path.iterdir()) == []


def test_a_failure_half_way_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(*_: object) -> tuple[bytes, bytes]:
        raise OSError("no space left")

    monkeypatch.setattr("tomolift.data._phantom._case_files", fail)
    with pytest.raises(OSError, match="no space left"):
        write_phantom(tmp_path / "new", cases=1)
    assert list(tmp_path.iterdir()) == []
