"""Labels back in the source's grid, judged by nibabel."""

from __future__ import annotations

import gzip
import itertools
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tomolift.data import (
    BadInput,
    Cache,
    DiskFailure,
    Window,
    build_cache,
    open_cache,
    read_volume,
    write_labels,
    write_prediction,
)
from tomolift.data._files import this_machine

Array = np.ndarray[Any, Any]
ORIENTATIONS = [
    "".join(letters)
    for axes in itertools.permutations(("LR", "PA", "IS"))
    for letters in itertools.product(*axes)
]
FORMS = ["sform", "qform", "equal", "different", "none"]
SPATIAL_FIELDS = [
    "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y",
    "qoffset_z", "srow_x", "srow_y", "srow_z", "xyzt_units",
]  # fmt: skip


def oriented(codes: str, *, shear: float = 0.0) -> Array:
    """An oblique, perhaps sheared, affine whose nearest orientation is ``codes``."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, code in enumerate(codes):
        affine["RLAPSI".index(code) // 2, axis] = 1 if code in "RAS" else -1
    tilt = np.eye(4)
    tilt[:3, :3] = [[0.99, -0.1, 0.07], [0.1, 0.99, -0.05], [-0.065, 0.056, 0.99]]
    tilt[0, 1] += shear
    affine = tilt @ affine @ np.diag([0.8, 1.1, 2.5, 1])
    affine[:3, 3] = [5.3, -6.7, 7.9]
    return affine


def save_raw(
    path: Path, array: Array, affine: Array, forms: str, *, order: str = "<", **fields: float
) -> Path:
    """Write (x, y, z) uint8 or int16 under a header whose fields are exactly those asked for."""
    header = nib.Nifti1Header(endianness=order)
    header.set_data_dtype(array.dtype)
    header.set_data_shape(array.shape)
    header.set_qform(affine, code=1, strip_shears=True)
    other = np.diag([1.01, 1, 1, 1]) @ affine if forms == "different" else affine
    header.set_sform(other, code=4)
    if forms in ("sform", "none"):
        header["qform_code"] = 0
    if forms in ("qform", "none"):
        header["sform_code"] = 0
    header["xyzt_units"] = 10
    header["magic"], header["vox_offset"] = b"n+1", 352
    header["scl_slope"], header["scl_inter"] = 1, 0
    for field, value in fields.items():
        header[field] = value
    voxels = array.astype(array.dtype.newbyteorder(order)).tobytes(order="F")
    data = header.binaryblock + bytes(4) + voxels
    path.write_bytes(gzip.compress(data) if path.name.endswith(".gz") else data)
    return path


def assert_identical_geometry(source: Path, written: Path) -> None:
    ours, theirs = nib.load(written), nib.load(source)
    assert ours.shape == theirs.shape[:3]
    assert ours.affine.tobytes() == theirs.affine.tobytes()
    theirs_little = theirs.header.as_byteswapped("<")
    assert ours.header["pixdim"][:4].tobytes() == theirs_little["pixdim"][:4].tobytes()
    for field in SPATIAL_FIELDS:
        assert ours.header[field].tobytes() == theirs_little[field].tobytes(), field
    for get in ("get_sform", "get_qform"):
        (matrix, code), (expected, expected_code) = (
            getattr(image, get)(coded=True) for image in (ours, theirs)
        )
        assert code == expected_code
        np.testing.assert_array_equal(matrix, expected)
    assert ours.header.get_zooms() == theirs.header.get_zooms()[:3]
    assert ours.header.get_xyzt_units() == theirs.header.get_xyzt_units()


def canonical(path: Path) -> Array:
    """The voxels of a file (D, H, W), turned to RAS by nibabel."""
    return np.asarray(nib.as_closest_canonical(nib.load(path)).dataobj).transpose(2, 1, 0)


def random_labels(shape: tuple[int, ...], *, seed: int = 0, classes: int = 3) -> Array:
    return np.random.default_rng(seed).integers(0, classes, shape).astype(np.uint8)


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_labels_of_a_whole_volume_return_to_their_file_whatever_its_header(
    tmp_path: Path, codes: str
) -> None:
    stored = random_labels((3, 4, 5), classes=255)
    kinds = [("canonical", 0.0), ("canonical", 0.2), ("stored", 0.2)]
    for forms, (axes, shear) in itertools.product(FORMS, kinds):
        source = save_raw(tmp_path / "a.nii", stored, oriented(codes, shear=shear), forms)
        labels = canonical(source) if axes == "canonical" else stored.T
        _, geometry = read_volume(source, axes=axes)
        written = tmp_path / f"{forms}{axes}{shear}.nii"
        write_labels(geometry, labels, written)
        assert_identical_geometry(source, written)
        np.testing.assert_array_equal(np.asarray(nib.load(written).dataobj), stored)


def test_labels_return_to_a_big_endian_file(tmp_path: Path) -> None:
    stored = random_labels((3, 4, 5)).astype(np.int16)
    source = save_raw(tmp_path / "a.nii", stored, oriented("LPS"), "different", order=">")
    _, geometry = read_volume(source)
    write_labels(geometry, canonical(source), tmp_path / "b.nii")
    assert_identical_geometry(source, tmp_path / "b.nii")
    np.testing.assert_array_equal(np.asarray(nib.load(tmp_path / "b.nii").dataobj), stored)


def test_labels_of_a_single_channel_fourth_axis_lose_that_axis_alone(tmp_path: Path) -> None:
    stored = random_labels((3, 4, 5, 1))
    source = save_raw(tmp_path / "a.nii", stored, oriented("PIR"), "equal")
    _, geometry = read_volume(source, axes="stored")
    write_labels(geometry, stored[..., 0].T, tmp_path / "b.nii")
    assert_identical_geometry(source, tmp_path / "b.nii")
    written = np.asarray(nib.load(tmp_path / "b.nii").dataobj)
    np.testing.assert_array_equal(written, stored[..., 0])


def test_unused_fields_that_are_no_numbers_pass_through_a_cache(task: Any, tmp_path: Path) -> None:
    task.add("a")
    junk = {"quatern_b": np.nan, "qoffset_x": np.inf, "qoffset_y": -np.inf, "qoffset_z": -0.0}
    voxels = random_labels((7, 6, 5))
    save_raw(task.image("a"), voxels, np.diag([2.0, 3.0, 4.0, 1.0]), "sform", **junk)
    build_cache(task.folder, tmp_path / "cache", depth=5, workers=1)
    cache = open_cache(tmp_path / "cache")
    write_prediction(cache, "a", cache.labels("a"), tmp_path / "a.nii")
    assert_identical_geometry(task.image("a"), tmp_path / "a.nii")


class Sources:
    """A task of one volume for each orientation, its headers of every form in turn."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("imagesTr", "labelsTr"):
            (folder / name).mkdir(parents=True)
        for index, codes in enumerate(ORIENTATIONS):
            affine = oriented(codes, shear=0.2 * (index % 2))
            image = np.random.default_rng(index).integers(-99, 99, (5, 6, 7)).astype(np.int16)
            forms = FORMS[index % len(FORMS)]
            save_raw(self.image(codes), image, affine, forms)
            save_raw(self.label(codes), random_labels((5, 6, 7), seed=index), affine, forms)

    def image(self, case: str) -> Path:
        return self.folder / "imagesTr" / f"{case}.nii"

    def label(self, case: str) -> Path:
        return self.folder / "labelsTr" / f"{case}.nii"


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    made = Sources(tmp_path_factory.mktemp("sources") / "task")
    entries = ", ".join(
        f'{{"image": "imagesTr/{case}.nii", "label": "labelsTr/{case}.nii"}}'
        for case in ORIENTATIONS
    )
    labels = '{"0": "background", "1": "organ", "2": "tumour"}'
    (made.folder / "dataset.json").write_text(f'{{"labels": {labels}, "training": [{entries}]}}')
    return made


def expected_labels(sources: Sources, cache: Cache, case: str, *, axes: str) -> Array:
    """The label file (D, H, W), background wherever the cache cropped."""
    label = sources.label(case)
    whole = canonical(label) if axes == "canonical" else np.asarray(nib.load(label).dataobj).T
    first = max((len(whole) - cache.depth) // 2, 0)
    kept = np.zeros_like(whole)
    kept[first : first + cache.depth] = whole[first : first + cache.depth]
    return kept


# the depths of the sources are 5, 6 or 7 by their orientation
@pytest.mark.parametrize("depth", [4, 6, 9])
@pytest.mark.parametrize("axes", ["canonical", "stored"])
def test_the_caches_own_labels_return_to_the_grid_of_every_orientation(
    sources: Sources, tmp_path: Path, depth: int, axes: Any
) -> None:
    build_cache(sources.folder, tmp_path / "cache", depth=depth, short="pad", axes=axes, workers=1)
    cache = open_cache(tmp_path / "cache")
    assert len(cache) == 48
    for case in cache.cases:
        written = tmp_path / f"{case}.nii"
        write_prediction(cache, case, cache.labels(case), written)
        assert_identical_geometry(sources.image(case), written)
        back = (
            canonical(written) if axes == "canonical" else np.asarray(nib.load(written).dataobj).T
        )
        np.testing.assert_array_equal(back, expected_labels(sources, cache, case, axes=axes))


@given(
    matrix=hnp.arrays(np.float32, (3, 3), elements=st.floats(-4, 4, width=32)),
    offset=hnp.arrays(np.float32, 3, elements=st.floats(-500, 500, width=32)),
    shape=st.tuples(*[st.integers(1, 5)] * 3),
    forms=st.sampled_from(FORMS),
    units=st.sampled_from([0, 2, 8, 10, 18]),
)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_any_grid_that_can_be_read_is_written_as_it_was(
    tmp_path_factory: pytest.TempPathFactory,
    matrix: Array,
    offset: Array,
    shape: tuple[int, int, int],
    forms: str,
    units: int,
) -> None:
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = matrix, offset
    if np.linalg.cond(matrix.astype(np.float64)) > 100:  # no grid; nibabel cannot make its qform
        affine[:3, :3] = np.diag([1, -2, 3]) + matrix / 20
    folder = tmp_path_factory.mktemp("drawn")
    source = save_raw(
        folder / "a.nii", random_labels(shape, classes=255), affine, forms, xyzt_units=units
    )
    _, geometry = read_volume(source)
    write_labels(geometry, canonical(source), folder / "b.nii.gz")
    assert_identical_geometry(source, folder / "b.nii.gz")
    written = np.asarray(nib.load(folder / "b.nii.gz").dataobj)
    np.testing.assert_array_equal(written, np.asarray(nib.load(source).dataobj))


@pytest.fixture
def cache(task: Any, tmp_path: Path) -> Cache:
    """Volumes of 5 slices, cropped to 4, in LPS."""
    task.add("a", affine=np.diag([-2.0, -3.0, 4.0, 1.0]))
    build_cache(task.folder, tmp_path / "cache", depth=4, workers=1)
    return open_cache(tmp_path / "cache")


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_read_volume_reads_back_what_was_written(
    tmp_path: Path, save_nifti: Callable[..., Path], ending: str
) -> None:
    source = save_nifti(tmp_path / "a.nii.gz", random_labels((5, 6, 7)), affine=oriented("LPS"))
    _, geometry = read_volume(source)
    labels = random_labels(geometry.shape, seed=1, classes=255)
    write_labels(geometry, labels, tmp_path / f"b{ending}")
    volume, again = read_volume(tmp_path / f"b{ending}", intensity=Window(0, 254))
    np.testing.assert_array_equal(np.rint(volume * 254), labels)
    np.testing.assert_array_equal(again.affine, geometry.affine)
    assert again.spatial == geometry.spatial


def test_nibabel_opens_what_was_written_without_a_complaint(
    cache: Cache, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_prediction(cache, "a", np.zeros(cache["a"].shape, np.int64), tmp_path / "a.nii")
    image = nib.load(tmp_path / "a.nii")
    assert not np.asarray(image.dataobj).any()
    assert image.get_data_dtype() == np.uint8
    with (tmp_path / "a.nii").open("rb") as file:
        header = nib.Nifti1Header.from_fileobj(file)  # an image's own forgets slope and intercept
    assert (int(header["datatype"]), int(header["bitpix"]), int(header["dim"][0])) == (2, 8, 3)
    assert (float(header["scl_slope"]), float(header["scl_inter"])) == (1.0, 0.0)
    assert nib.Nifti1Header.diagnose_binaryblock(header.binaryblock) == ""
    assert caplog.records == []


def test_no_text_and_no_extension_of_the_source_is_written(task: Any, tmp_path: Path) -> None:
    task.add("a")
    image = nib.load(task.image("a"))
    for field in ("descrip", "aux_file", "intent_name", "db_name"):
        image.header[field] = b"SECRET"
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"SECRET"))
    nib.save(image, tmp_path / "source.nii")
    assert (tmp_path / "source.nii").read_bytes().count(b"SECRET") == 5
    volume, geometry = read_volume(tmp_path / "source.nii")
    write_labels(geometry, volume > 0.5, tmp_path / "b.nii")
    assert b"SECRET" not in (tmp_path / "b.nii").read_bytes()


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint16, np.int64, ">i4"])
def test_integers_of_any_type_are_written_as_uint8(
    cache: Cache, tmp_path: Path, dtype: Any
) -> None:
    labels = random_labels(cache["a"].shape, classes=2)
    write_prediction(cache, "a", labels.astype(dtype), tmp_path / "a.nii")
    np.testing.assert_array_equal(canonical(tmp_path / "a.nii")[:4], labels)


def test_a_networks_argmax_is_written_as_it_is(cache: Cache, tmp_path: Path) -> None:
    logits = torch.randn(3, *cache["a"].shape, generator=torch.Generator().manual_seed(0))
    write_prediction(cache, "a", logits.argmax(0), tmp_path / "a.nii")
    np.testing.assert_array_equal(canonical(tmp_path / "a.nii")[:4], np.argmax(logits.numpy(), 0))


def test_equal_labels_give_equal_bytes(cache: Cache, tmp_path: Path) -> None:
    labels = random_labels(cache["a"].shape)
    for name in ("a.nii.gz", "another.nii.gz"):
        write_prediction(cache, "a", labels, tmp_path / name)
    first = (tmp_path / "a.nii.gz").read_bytes()
    assert first == (tmp_path / "another.nii.gz").read_bytes()
    assert first[3:8] == bytes(5)  # of gzip's header: no file name, no time


def test_padded_slices_are_left_out_whatever_they_hold(task: Any, tmp_path: Path) -> None:
    task.add("a", shape=(7, 6, 5))
    build_cache(task.folder, tmp_path / "cache", depth=9, short="pad", workers=1)
    cache = open_cache(tmp_path / "cache")
    labels = np.full(cache["a"].shape, 9999)
    labels[2:7] = 1
    write_prediction(cache, "a", labels, tmp_path / "a.nii")
    written = np.asarray(nib.load(tmp_path / "a.nii").dataobj)
    assert written.shape == (7, 6, 5)
    assert (written == 1).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v[:-1], r"^labels: have the shape \(3, 6, 7\), expected .* = \(4, 6, 7\); "),
        (lambda v: v.transpose(2, 1, 0), r"^labels: have the shape \(7, 6, 4\), "),
        (lambda v: v.astype(np.float32), r"^labels: are float32, expected integers; .*argmax"),
        (lambda v: v + 1, r"^labels: hold 3 at \(d, h, w\) = \(0, 0, 1\), expected 0\.\.2; "),
        (lambda v: v.astype(int) - 1, r"^labels: hold -1 at .*, expected 0\.\.2; "),
        (lambda v: np.where(v == 2, 255, v), r"^labels: hold 255 .*marks ignored voxels.* class"),
        (lambda v: v.astype(np.int64) + 256, r"^labels: hold 25\d at "),
    ],
)
def test_labels_that_are_none_are_refused_and_nothing_is_left(
    cache: Cache, tmp_path: Path, change: Callable[[Array], Array], message: str
) -> None:
    labels = random_labels(cache["a"].shape)
    labels[0, 0, :2] = 0, 2
    (tmp_path / "out").mkdir()
    with pytest.raises(BadInput, match=message) as caught:
        write_prediction(cache, "a", change(labels), tmp_path / "out/a.nii")
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "out").iterdir()) == []


def test_write_labels_takes_classes_up_to_254_alone(cache: Cache, tmp_path: Path) -> None:
    geometry = cache["a"].geometry
    write_labels(geometry, np.full(geometry.shape, 254), tmp_path / "a.nii")
    with pytest.raises(BadInput, match=r"hold 256 .*expected 0\.\.254; .*\[E_LABEL\]$"):
        write_labels(geometry, np.full(geometry.shape, 256), tmp_path / "b.nii")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.nrrd", r"ends otherwise than in \.nii or \.nii\.gz; "),
        ("a.nii.GZ", r"ends otherwise than in \.nii or \.nii\.gz; "),
        ("missing/a.nii", r"is to lie in .*missing, which is no folder; "),
        ("cache/CACHE.json/a.nii", r"is to lie in .*CACHE\.json, which is no folder; "),
        ("folder.nii", r"is a folder; "),
        ("there.nii", r"is there already; .*overwrite=True"),
        ("link.nii", r"is there already; .*overwrite=True"),
    ],
)
def test_a_path_that_cannot_be_written_to_is_refused(
    cache: Cache, tmp_path: Path, name: str, message: str
) -> None:
    (tmp_path / "folder.nii").mkdir()
    (tmp_path / "there.nii").write_bytes(b"precious")
    (tmp_path / "link.nii").symlink_to(tmp_path / "nowhere")
    with pytest.raises(BadInput, match=rf"{name}: {message}.*\[E_ARGUMENT\]$"):
        write_prediction(cache, "a", cache.labels("a"), tmp_path / name)
    assert (tmp_path / "there.nii").read_bytes() == b"precious"


def test_a_file_is_replaced_when_asked_for(cache: Cache, tmp_path: Path) -> None:
    (tmp_path / "a.nii").write_bytes(b"old")
    write_prediction(cache, "a", cache.labels("a"), tmp_path / "a.nii", overwrite=True)
    np.testing.assert_array_equal(canonical(tmp_path / "a.nii")[:4], cache.labels("a"))


def test_a_failing_disk_leaves_the_old_file_and_nothing_else(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a.nii.gz").write_bytes(b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    message = r"^.*a\.nii\.gz: cannot go on writing: No space left .*; .* and write it again$"
    with pytest.raises(DiskFailure, match=message):
        write_prediction(cache, "a", cache.labels("a"), tmp_path / "out/a.nii.gz", overwrite=True)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.nii.gz"]
    assert (tmp_path / "out/a.nii.gz").read_bytes() == b"old"


def test_what_a_killed_write_of_the_same_file_left_is_swept_and_nothing_else(
    cache: Cache, tmp_path: Path
) -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)  # this process id is of no process now
    host = this_machine()
    dead = tmp_path / f"a[1].nii.{host}.{child}.0123abcd.tmp"
    others = [
        tmp_path / f"b.nii.{host}.{child}.0123abcd.tmp",  # of another file
        tmp_path / f"a[1].nii.{host}.{os.getpid()}.0123abcd.tmp",  # of a living process
        tmp_path / f"a[1].nii.elsewhere.{child}.0123abcd.tmp",  # of another machine
        tmp_path / "a[1].nii.tmp",  # not ours
    ]
    for path in (dead, *others):
        path.write_bytes(b"")
    write_prediction(cache, "a", cache.labels("a"), tmp_path / "a[1].nii")
    assert not dead.exists()
    assert all(path.exists() for path in others)


@pytest.mark.parametrize("codes", ["LPS", "SAR", "AIR"])
def test_writing_takes_no_more_memory_than_a_few_planes(
    tmp_path: Path, save_nifti: Callable[..., Path], codes: str
) -> None:
    source = save_nifti(tmp_path / "a.nii", random_labels((96, 96, 96)), affine=oriented(codes))
    _, geometry = read_volume(source)
    labels = np.asfortranarray(random_labels(geometry.shape).astype(np.int64))
    tracemalloc.start()
    write_labels(geometry, labels, tmp_path / "b.nii.gz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # a plane is 9 KB and its masks no more; gzip's buffers and compressor are some 300 KB
    assert peak < labels.size  # the volume as uint8
