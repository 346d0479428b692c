"""Attention over tokens: the rows of a volume are those of a slice, once per slice (fact F9).

Softmax over tokens that are repeated in depth gives the same mixture, so the layers stay what they
are. What would change it, tokens that stand for no position (a class token), is counted in the dry
run and refused there.
"""

from __future__ import annotations

from torch import nn

from .._depth import Layer
from ._rank_free import draw_anew
from ._registry import register_layer


@register_layer(nn.MultiheadAttention)
def keep_attention(module: nn.MultiheadAttention, layer: Layer) -> nn.Module:
    """All its matrices act on a token each; a strategy that keeps nothing draws them anew."""
    if module.bias_k is not None or module.add_zero_attn:
        raise layer.refuse(
            "MultiheadAttention(add_bias_kv or add_zero_attn) adds a key that stands for no "
            "position, which weighs less among the keys of a volume",
            "leave these options out",
        )
    if not layer.strategy.keeps_source:
        matrices = (
            module.in_proj_weight,
            module.q_proj_weight,
            module.k_proj_weight,
            module.v_proj_weight,
            module.out_proj.weight,
        )
        for matrix in matrices:
            if matrix is not None:
                draw_anew(matrix, layer)
        for bias in (module.in_proj_bias, module.out_proj.bias):
            if bias is not None:
                nn.init.zeros_(bias)
    return module
