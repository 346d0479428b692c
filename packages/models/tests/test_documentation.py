"""The README's table of networks says what the networks have."""

from __future__ import annotations

import re
from pathlib import Path

import torch

import tomolift.models

README = Path(__file__).parents[1] / "README.md"


def _count(network):
    return sum(value.numel() for value in network.parameters())


def test_the_readme_s_parameter_counts_are_the_networks_own():
    row = r"^\| `(\w+)(?:\(encoder=\"(\w+)\"\))?` \| ([\d,]+) \| ([\d,]+) \|$"
    rows = re.findall(row, README.read_text("utf-8"), re.MULTILINE)
    assert len(rows) == 6
    for name, encoder, flat, deep in rows:
        kind, options = getattr(tomolift.models, name), {"encoder": encoder} if encoder else {}
        with torch.device("meta"):
            counts = [_count(kind(3, spatial_dims=dims, **options)) for dims in (2, 3)]
        assert counts == [int(number.replace(",", "")) for number in (flat, deep)], name
