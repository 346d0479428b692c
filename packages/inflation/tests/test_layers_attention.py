"""Attention over the tokens of a volume (design fact F9)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tomolift.inflation import Random, UnsupportedLayerError, inflate

MakeSlices = Callable[..., Tensor]


class Patches(nn.Module):
    """Patches of 8 x 8 as tokens, with or without one more, then their mean."""

    def __init__(self, mixer: nn.Module, *, extra: bool = False, rows_first: bool = True) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 16, 8, 8)
        self.mixer = mixer
        self.extra = extra
        self.rows_first = rows_first

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(x).flatten(2).mT
        if self.extra:
            tokens = torch.cat([tokens.new_ones(len(tokens), 1, 16), tokens], 1)
        mixed: Tensor = self.mixer(tokens if self.rows_first else tokens.transpose(0, 1))
        return (mixed if self.rows_first else mixed.transpose(0, 1)).mean(1)


class SelfAttention(nn.Module):
    def __init__(self, *, batch_first: bool, masked: bool = False) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 4, batch_first=batch_first)
        self.masked = masked

    def forward(self, x: Tensor) -> Tensor:
        length = x.shape[1 if self.attention.batch_first else 0]
        mask = torch.ones(length, length, device=x.device).tril() == 0 if self.masked else None
        mixed: Tensor = self.attention(x, x, x, attn_mask=mask)[0]
        return mixed


def encoder_layer() -> nn.Module:
    return nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)


@torch.no_grad()
@pytest.mark.parametrize("depth", [8, 24])
@pytest.mark.parametrize(
    ("mixer", "rows_first"),
    [
        (SelfAttention(batch_first=True), True),
        (SelfAttention(batch_first=False), False),
        (encoder_layer(), True),
        (nn.TransformerEncoder(encoder_layer(), 2, enable_nested_tensor=False), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_f9_attention_over_depth_repeated_tokens_is_exact(
    mixer: nn.Module, rows_first: bool, depth: int, make_slices: MakeSlices
) -> None:
    net2d = Patches(mixer, rows_first=rows_first).eval()
    net3d = inflate(net2d)
    one = make_slices(1)
    volume = one.unsqueeze(2).expand(-1, -1, depth, -1, -1)
    torch.testing.assert_close(net3d(volume), net2d(one), atol=1e-5, rtol=1e-5)
    assert set(net3d.state_dict()) == set(net2d.state_dict())


@pytest.mark.parametrize("batch_first", [True, False])
def test_f9_a_token_without_position_is_refused_by_name(batch_first: bool) -> None:
    mixer = SelfAttention(batch_first=batch_first)
    with pytest.raises(
        UnsupportedLayerError, match=r"^'mixer\.attention': .* sees 65 tokens in 2D and 513 in 3D"
    ):
        inflate(Patches(mixer, extra=True, rows_first=batch_first))


@torch.no_grad()
def test_f9_a_token_without_position_would_not_be_exact(make_slices: MakeSlices) -> None:
    attention = nn.MultiheadAttention(16, 4, batch_first=True).eval()
    tokens = make_slices(1, channels=9, side=16)[:, :, 0]
    extra = 2 * torch.ones(1, 1, 16)
    once, repeated = torch.cat([extra, tokens], 1), torch.cat([extra, tokens.repeat(1, 4, 1)], 1)
    expected, result = (attention(each, each, each)[0][:, 0] for each in (once, repeated))
    assert (result - expected).abs().max() > 1e-3


def test_a_mask_over_tokens_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedLayerError, match=r"^'mixer\.attention': .* gets a mask"):
        inflate(Patches(SelfAttention(batch_first=True, masked=True)))


@pytest.mark.parametrize("option", ["add_bias_kv", "add_zero_attn"])
def test_a_key_without_position_is_refused_by_name(option: str) -> None:
    attention = nn.MultiheadAttention(16, 4, **{option: True})  # type: ignore[arg-type]
    with pytest.raises(UnsupportedLayerError, match=r"^'0': .*leave these options out"):
        inflate(nn.Sequential(attention))


def test_random_draws_the_matrices_of_an_attention_anew() -> None:
    net2d = Patches(SelfAttention(batch_first=True))
    state_2d, state_3d = net2d.state_dict(), inflate(net2d, Random()).state_dict()
    for name, tensor in state_3d.items():
        if name.endswith("weight"):
            assert not torch.equal(tensor, state_2d[name]), name
        else:
            assert tensor.count_nonzero() == 0, name
