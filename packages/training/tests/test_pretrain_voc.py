"""Reading a folder laid out like PASCAL VOC."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tomolift.training.errors import ConfigError
from tomolift.training.pretrain import open_voc, pretrain_command


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """Four training and two validation pictures of 40 x 30, palette label maps as VOC has."""
    rng = np.random.default_rng(0)
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (tmp_path / folder).mkdir(parents=True)
    names = [f"2007_{number:06d}" for number in range(6)]
    for name in names:
        save_picture(tmp_path, name, rng.integers(0, 21, (30, 40), dtype=np.uint8))
    write_list(tmp_path, "train", names[:4])
    write_list(tmp_path, "val", names[4:])
    return tmp_path


def save_picture(
    root: Path, name: str, label: np.ndarray, folder: str = "SegmentationClass"
) -> None:
    (root / folder).mkdir(exist_ok=True)
    shade = np.full((30, 40, 3), 90, np.uint8)
    Image.fromarray(shade).save(root / "JPEGImages" / f"{name}.jpg")
    palette = Image.fromarray(label)
    palette.putpalette([channel for entry in range(256) for channel in (entry, 255 - entry, 7)])
    assert palette.mode == "P"
    palette.save(root / folder / f"{name}.png")


def write_list(root: Path, name: str, lines: list[str]) -> None:
    (root / "ImageSets/Segmentation" / f"{name}.txt").write_text("\n".join(lines) + "\n")


def test_palette_indices_are_the_classes_and_255_is_kept(voc: Path) -> None:
    label = np.tile(np.uint8([0, 20, 255, 3]), (30, 10))
    save_picture(voc, "2007_000001", label)
    picture = open_voc(voc).read("training", 1)
    np.testing.assert_array_equal(picture.label, label)
    assert picture.image.shape == (30, 40, 3)
    assert abs(int(picture.image.mean()) - 90) <= 2  # JPEG loss


def test_the_command_trains_on_a_voc_folder(
    voc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = pretrain_command(voc, out=tmp_path / "out", epochs=1, precision="fp32")
    assert report.pictures == 4  # padded to the recipe's crop of 224
    assert report.path.is_file()
    assert f"({open_voc(voc).identity}): validation mean IoU" in capsys.readouterr().out


def test_the_lists_give_the_parts(voc: Path) -> None:
    source = open_voc(voc)
    assert (source.count("training"), source.count("validation")) == (4, 2)
    assert source.class_names[15] == "person"


def test_sbd_training_pictures_are_taken_where_they_are_there(voc: Path) -> None:
    save_picture(voc, "2008_000009", np.full((30, 40), 7, np.uint8), "SegmentationClassAug")
    write_list(
        voc, "trainaug", ["/JPEGImages/2008_000009.jpg /SegmentationClassAug/2008_000009.png"]
    )
    source = open_voc(voc)
    assert source.training == ("2008_000009",)
    assert (source.read("training", 0).label == 7).all()
    assert source.read("validation", 0).label.shape == (30, 40)


def test_other_lists_give_another_identity(voc: Path) -> None:
    before = open_voc(voc).identity
    assert before == open_voc(voc).identity
    write_list(voc, "train", ["2007_000000"])
    assert open_voc(voc).identity != before


def test_a_list_cannot_lead_out_of_the_folder(voc: Path) -> None:
    write_list(voc, "train", ["../../../etc/passwd"])
    assert open_voc(voc).training == ("passwd",)


@pytest.mark.parametrize("folder", ["JPEGImages", "SegmentationClass", "ImageSets"])
def test_a_missing_folder_is_named(voc: Path, folder: str) -> None:
    (voc / folder).rename(voc / "elsewhere")
    with pytest.raises(ConfigError, match=rf"{folder}.*no such folder; pass the folder"):
        open_voc(voc)


def test_a_missing_list_is_named(voc: Path) -> None:
    (voc / "ImageSets/Segmentation/val.txt").unlink()
    with pytest.raises(ConfigError, match=r"val\.txt: cannot be read"):
        open_voc(voc)


def test_an_empty_list_is_named(voc: Path) -> None:
    write_list(voc, "train", [""])
    with pytest.raises(ConfigError, match=r"train\.txt: lists no picture"):
        open_voc(voc)


def test_a_picture_in_both_lists_is_refused(voc: Path) -> None:
    write_list(voc, "train", ["2007_000000", "2007_000004"])
    with pytest.raises(ConfigError, match="2007_000004 is listed for training and validation"):
        open_voc(voc)


def test_a_listed_but_missing_file_is_named(voc: Path) -> None:
    (voc / "SegmentationClass/2007_000002.png").unlink()
    with pytest.raises(ConfigError, match=r"2007_000002\.png: listed but missing"):
        open_voc(voc).read("training", 2)


@pytest.mark.parametrize(
    "name", ["JPEGImages/2007_000002.jpg", "SegmentationClass/2007_000002.png"]
)
def test_a_truncated_picture_is_named(voc: Path, name: str) -> None:
    path = voc / name
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ConfigError, match=rf"{path.name}: not a readable picture"):
        open_voc(voc).read("training", 2)


def test_a_text_file_in_place_of_a_picture_is_named(voc: Path) -> None:
    (voc / "JPEGImages/2007_000000.jpg").write_text("not found")
    with pytest.raises(ConfigError, match=r"2007_000000\.jpg: not a readable picture"):
        open_voc(voc).read("training", 0)


def test_a_label_map_of_another_size_is_named(voc: Path) -> None:
    save_picture(voc, "2007_000000", np.zeros((30, 41), np.uint8))
    with pytest.raises(ConfigError, match=r"2007_000000\.png: \(30, 41\) rows and columns"):
        open_voc(voc).read("training", 0)


def test_a_class_beyond_the_twenty_is_named(voc: Path) -> None:
    save_picture(voc, "2007_000000", np.full((30, 40), 33, np.uint8))
    with pytest.raises(ConfigError, match=r"2007_000000\.png: class 33, expected 0 to 20 or 255"):
        open_voc(voc).read("training", 0)


def test_a_label_map_in_colours_is_refused(voc: Path) -> None:
    Image.new("RGB", (40, 30)).save(voc / "SegmentationClass/2007_000000.png")
    with pytest.raises(ConfigError, match="colour mode RGB, expected P or L"):
        open_voc(voc).read("training", 0)


def test_a_corrected_label_map_gives_another_identity(voc: Path) -> None:
    before = open_voc(voc).identity
    path = next((voc / "SegmentationClass").glob("*.png"))
    path.write_bytes(path.read_bytes() + b"\0")
    assert open_voc(voc).identity != before
