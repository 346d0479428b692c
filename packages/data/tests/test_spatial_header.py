from __future__ import annotations

import json
import math
import struct

import pytest

from tomolift.data._spatial_header import SpatialHeader

# float32 values, and each another, so that no two fields can be confused
FIELDS = [struct.unpack("<f", struct.pack("<f", 1.1 + 0.37 * k))[0] for k in range(22)]


def header_bytes(order: str, fields: list[float]) -> bytearray:
    """The fields where nifti1.h has them: pixdim at 76, units at 123, codes and forms from 252."""
    header = bytearray(348)
    struct.pack_into(order + "4f", header, 76, *fields[:4])
    header[123] = 10
    struct.pack_into(order + "2h18f", header, 252, 1, 4, *fields[4:])
    return header


@pytest.mark.parametrize("order", ["<", ">"])
def test_every_spatial_field_is_read_in_either_byte_order(order: str) -> None:
    spatial = SpatialHeader.unpack(bytes(header_bytes(order, FIELDS)), order)
    assert (spatial.qform_code, spatial.sform_code, spatial.xyzt_units) == (1, 4, 10)
    read = [*spatial.pixdim, *spatial.quaternion, *spatial.offset_mm, *spatial.srow]
    assert read == FIELDS


def test_packing_undoes_unpacking_to_the_bit() -> None:
    source = header_bytes("<", [-0.0, *FIELDS[1:20], math.inf, -math.inf])
    packed = bytearray(348)
    SpatialHeader.unpack(bytes(source), "<").pack_into(packed)
    assert packed == source


def test_a_spatial_header_survives_json_to_the_bit_even_where_it_is_no_number() -> None:
    source = header_bytes("<", [math.nan, -0.0, *FIELDS[2:20], math.inf, -math.inf])
    spatial = SpatialHeader.unpack(bytes(source), "<")
    text = json.dumps(spatial.to_json(), allow_nan=False)
    packed = bytearray(348)
    SpatialHeader.from_json(json.loads(text)).pack_into(packed)
    assert packed == source


@pytest.mark.parametrize(
    "change",
    [{"srow": [1.0] * 11}, {"pixdim": [1.0] * 3}, {"quaternion": "abc"}, {"xyzt_units": 256},
     {"sform_code": 2**15}, {"offset_mm": [1e300, 0, 0]}, {"qform_code": None}],
)  # fmt: skip
def test_an_impossible_spatial_header_is_refused(change: dict[str, object]) -> None:
    content = SpatialHeader.unpack(bytes(header_bytes("<", FIELDS)), "<").to_json()
    with pytest.raises((TypeError, ValueError)):
        SpatialHeader.from_json({**content, **change})
