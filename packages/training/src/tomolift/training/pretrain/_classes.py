"""The twenty classes of procedural objects: outline x surface x polarity.

Several classes share an outline and differ by surface or grey level alone (bright, dark, striped,
checked, shelled disc), others share a surface and differ by outline, so that a network has to
learn edges, tubes, blobs, texture and orientation. In pictures with colour every class leans to
a hue of its own; many pictures are grey.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import _shapes as shapes
from . import _surfaces as surfaces
from ._shapes import Shape
from ._surfaces import Surface


@dataclass(frozen=True)
class ObjectClass:
    """One class of objects.

    Attributes:
        name: What it is called in tables.
        shape: Its outline.
        surface: The pattern inside.
        polarity: 1 brighter than what lies behind it, -1 darker, 0 either.
        relief: Grey amplitude of the pattern.
        reach: Size relative to the other classes; thin outlines are drawn larger.
    """

    name: str
    shape: Shape
    surface: Surface
    polarity: int = 0
    relief: float = 0.16
    reach: float = 1.0


OBJECT_CLASSES: tuple[ObjectClass, ...] = (
    ObjectClass("bright disc", shapes.disc, surfaces.smooth, polarity=1),
    ObjectClass("dark disc", shapes.disc, surfaces.smooth, polarity=-1),
    ObjectClass("striped disc", shapes.disc, surfaces.stripes),
    ObjectClass("checked disc", shapes.disc, surfaces.checks),
    ObjectClass("shelled disc", shapes.disc, surfaces.shells),
    ObjectClass("ring", shapes.ring, surfaces.smooth, polarity=1),
    ObjectClass("walled box", shapes.box, surfaces.lumen),
    ObjectClass("striped box", shapes.box, surfaces.stripes),
    ObjectClass("speckled box", shapes.box, surfaces.speckle),
    ObjectClass("triangle", shapes.triangle, surfaces.smooth, polarity=-1),
    ObjectClass("star", shapes.star, surfaces.smooth, polarity=1),
    ObjectClass("cross", shapes.cross, surfaces.smooth, polarity=-1, reach=1.1),
    ObjectClass("rod", shapes.rod, surfaces.smooth, polarity=1, reach=1.1),
    ObjectClass("tube", shapes.tube, surfaces.smooth, polarity=-1, reach=1.3),
    ObjectClass("hollow tube", shapes.tube, surfaces.lumen, reach=1.45),
    ObjectClass("branch", shapes.branch, surfaces.smooth, polarity=1, reach=1.3),
    ObjectClass("blob", shapes.blob, surfaces.smooth, polarity=-1, reach=1.1),
    ObjectClass("speckled blob", shapes.blob, surfaces.speckle, reach=1.1),
    ObjectClass("crescent", shapes.crescent, surfaces.smooth, polarity=1),
    ObjectClass("cluster", shapes.cluster, surfaces.smooth, polarity=-1, reach=1.15),
)

CLASS_NAMES: tuple[str, ...] = ("background", *(entry.name for entry in OBJECT_CLASSES))
