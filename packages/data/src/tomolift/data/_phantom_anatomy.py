"""One phantom case: an abdomen of soft-edged organs in HU, its labels, noise and texture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ._phantom_canvas import Canvas, Solid, ellipsoid, tube
from ._phantom_fields import blur_in_plane, smooth_field, smooth_path
from ._phantom_gut import Path, bowel_loops, pancreas_path, tumour_path

FAT, MUSCLE, FLUID, BONE, GAS = -100.0, 55.0, 12.0, 330.0, -850.0
ORAL_CONTRAST = 350.0  # the control phantom's bowel: told from pancreas in any single slice
NOISE_HU, TEXTURE_HU = 9.0, 5.0
PANCREAS_LABEL, TUMOUR_LABEL = 1, 2
# How far patients lie off the centre: without it, where the pancreas is in the other patients
# predicts it as well as a network does (pancreas IoU 0.55, measured).
POSITION_UNITS = (3.0, 7.0, 5.0)


@dataclass(frozen=True)
class Phase:
    """HU of the enhancing organs of one case: how late after the contrast agent it was taken."""

    pancreas: float
    tumour: float
    liver: float
    spleen: float
    kidney: float
    vessel: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Phase:
        """Early or late in the pancreatic phase: gland and bowel wall outshine the liver."""
        strength = rng.uniform(0.9, 1.1)
        pancreas = 45 + 100 * strength
        return cls(
            pancreas=pancreas,
            tumour=pancreas - rng.uniform(52, 62),
            liver=45 + 30 * strength,
            spleen=45 + 60 * strength,
            kidney=45 + 150 * strength,
            vessel=45 + 160 * strength,
        )


def draw_case(
    *,
    seed: int,
    case: int,
    size: int,
    num_slices: int,
    middle: float,
    depth: int,
    tumour: bool,
    depth_cues: bool,
) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """Draw one case.

    Args:
        seed: of the whole set; with `case` it fixes every draw.
        case: index in the set.
        size: voxels along x and y.
        num_slices: slices of this volume.
        middle: the slice index, halves included, round which the anatomy is centred.
        depth: slices that a reader keeps; the anatomy is scaled to them.
        tumour: whether the pancreas has one.
        depth_cues: False fills the bowel with oral contrast, so that depth is not needed.

    Returns:
        HU and labels (0, 1, 2), both (num_slices, size, size): slices to the head, rows to the
        back, columns to the patient's left.
    """
    # separate streams: the control phantom has the same anatomy, labels and noise
    anatomy, bowel, noise = (np.random.default_rng([seed, case, stream]) for stream in range(3))
    x, y, z = np.random.default_rng([seed, case, 3]).uniform(-1, 1, 3) * POSITION_UNITS
    canvas = Canvas(
        size=size,
        num_slices=num_slices,
        middle=middle,
        depth=depth,
        position=(x, y, z),
        rng=anatomy,
    )
    phase = Phase.draw(anatomy)
    shift = anatomy.normal(0, 1, 3) * (1.5, 1.2, 1.2)
    pancreas = pancreas_path(shift, anatomy)
    _paint_body(canvas, anatomy)
    _paint_bowel(canvas, pancreas, phase, bowel, depth_cues=depth_cues)
    _paint_organs(canvas, phase, shift, anatomy)
    _paint_vessels(canvas, phase, pancreas)
    gland = tube(canvas, pancreas[:, :3], pancreas[:, 3], wobble=0.6)
    canvas.paint(gland, FAT, grow=1.3)
    canvas.paint(gland, phase.pancreas, label=PANCREAS_LABEL)
    if tumour:
        mass = tumour_path(pancreas, anatomy)
        lump = tube(canvas, mass[:, :3], mass[:, 3], wobble=0.4)
        canvas.paint(lump, phase.tumour, label=TUMOUR_LABEL)
    return _acquire(canvas, noise), canvas.labels


def _paint_body(canvas: Canvas, rng: np.random.Generator) -> None:
    """Skin, fat rim, muscle wall, back muscles, spine and ribs."""
    wide, tall = 41 * rng.uniform(0.96, 1.04), 32 * rng.uniform(0.96, 1.06)
    rim = rng.uniform(2.5, 5.5)
    middle = (48.0, 49.0, 0.0)
    for hu, inset in ((20.0, 0.0), (FAT, 0.8), (MUSCLE, rim), (FAT, rim + 2.6)):
        shell = (wide - inset, tall - inset, np.inf)
        canvas.paint(ellipsoid(canvas, middle, shell, wobble=0.25), hu)
    for side in (-1, 1):
        back = (48.0 + 9.5 * side, 73.0, 0.0)
        canvas.paint(ellipsoid(canvas, back, (7.5, 4.6, np.inf), wobble=0.5), MUSCLE)
        psoas = (48.0 + 11 * side, 66.0, -26.0)
        canvas.paint(ellipsoid(canvas, psoas, (4.6, 5.0, 24.0), wobble=0.5), MUSCLE)
        for start in np.arange(-18.0, 44.0, 9.0):
            canvas.paint(_rib(canvas, side, start, wide - rim - 1.3, tall - rim - 1.3), BONE)
    canvas.paint(ellipsoid(canvas, (48.0, 66.5, 0.0), (7.4, 6.0, np.inf)), 90.0)  # the discs
    for z in np.arange(-45.0, 46.0, 10.0):
        canvas.paint(ellipsoid(canvas, (48.0, 66.5, z), (7.8, 6.4, 5.6)), BONE + 120)
        canvas.paint(ellipsoid(canvas, (48.0, 66.5, z), (6.7, 5.3, 4.6)), BONE - 130)
    canvas.paint(ellipsoid(canvas, (48.0, 75.5, 0.0), (4.2, 3.6, np.inf)), BONE)
    canvas.paint(ellipsoid(canvas, (48.0, 74.8, 0.0), (2.8, 2.4, np.inf)), 30.0)


def _rib(canvas: Canvas, side: int, start: float, wide: float, tall: float) -> Solid:
    """A rib in the body wall that falls from the spine at height `start` to the front."""
    angle = np.linspace(np.radians(50), np.radians(-25), 7)
    controls = np.column_stack(
        [
            48 + side * wide * np.cos(angle),
            49 + tall * np.sin(angle),
            start - 9 * np.linspace(0, 1, 7),
        ]
    )
    points = smooth_path(controls, step=0.8)
    return tube(canvas, points, np.full(len(points), 1.3))


def _paint_bowel(
    canvas: Canvas, pancreas: Path, phase: Phase, rng: np.random.Generator, *, depth_cues: bool
) -> None:
    """Bowel loops: in HU and calibre the pancreas's twins, unless `depth_cues` is False."""
    for loop in bowel_loops(pancreas, rng):
        solid = tube(canvas, loop.path[:, :3], loop.path[:, 3], wobble=0.6)
        canvas.paint(solid, FAT, grow=1.3)
        canvas.paint(solid, phase.pancreas if depth_cues else ORAL_CONTRAST)
        if depth_cues:
            fluid = tube(canvas, loop.fluid[:, :3], loop.fluid[:, 3], wobble=0.4)
            canvas.paint(fluid, phase.tumour)


def _paint_organs(
    canvas: Canvas, phase: Phase, shift: NDArray[np.float64], rng: np.random.Generator
) -> None:
    """Liver, gall bladder, spleen, stomach and kidneys, each with a film of fat."""
    dx, dy, dz = shift

    def organ(
        hu: float,
        centre: tuple[float, float, float],
        radii: tuple[float, float, float],
        *,
        rind: tuple[float, float] | None = None,
    ) -> None:
        x, y, z = rng.normal(centre, 0.8)
        grown = np.asarray(radii) * rng.uniform(0.95, 1.05)
        solid = ellipsoid(canvas, (x + dx / 2, y + dy / 2, z + dz), tuple(grown), wobble=0.8)
        canvas.paint(solid, FAT, grow=1.0)
        canvas.paint(solid, hu)
        if rind is not None:
            canvas.paint(solid, rind[1], grow=-rind[0])

    organ(phase.spleen, (76, 55, 20), (7.5, 10, 13))
    organ(80.0, (65, 36, 25), (13, 9.5, 12), rind=(1.6, FLUID + 10))
    organ(GAS, (64, 30.5, 25), (7, 3.4, 6))
    organ(phase.liver, (30, 45, 17), (17, 21, 24))
    organ(phase.liver, (46, 31, 24), (15, 9, 12))
    organ(FLUID, (35, 36, 1), (4.2, 4.6, 6.5))
    for side, z in ((-1, -17.0), (1, -13.0)):
        centre = (48.0 + 20 * side, 62.0, z)
        organ(phase.kidney, centre, (6.6, 7.6, 14.5), rind=(2.8, phase.kidney - 40))


def _paint_vessels(canvas: Canvas, phase: Phase, pancreas: Path) -> None:
    """Aorta, vena cava, portal vein into the liver, and the splenic vein behind the pancreas."""
    for x, y, radius in ((51.0, 57.5, 3.0), (43.0, 58.0, 3.3)):
        canvas.paint(ellipsoid(canvas, (x, y, 0.0), (radius, radius, np.inf)), phase.vessel)
    behind = pancreas[len(pancreas) // 3 :: 12, :3] + (0.0, 8.0, 0.5)
    for controls, radius in (
        (behind, 1.6),
        (np.array([behind[0], (40.0, 50.0, 6.0), (33.0, 46.0, 14.0)]), 2.3),
    ):
        points = smooth_path(controls, step=0.8)
        canvas.paint(tube(canvas, points, np.full(len(points), radius)), phase.vessel)


def _acquire(canvas: Canvas, rng: np.random.Generator) -> NDArray[np.int16]:
    """What a scanner adds: tissue texture, its point spread, correlated noise, whole HU."""
    shape = canvas.hu.shape
    tissue = (canvas.hu > -200) & (canvas.hu < 240)
    texture = np.float32(TEXTURE_HU) * smooth_field(shape, (2.5, 2.5, 2.5), rng)
    sharp = canvas.hu + np.where(tissue, texture, np.float32(0))
    noise = blur_in_plane(rng.standard_normal(shape, dtype=np.float32), 0.6)
    noise *= np.float32(NOISE_HU) / noise.std()
    hu = blur_in_plane(sharp, 0.7) + noise
    return np.rint(np.clip(hu, -1024, 1500)).astype(np.int16)
