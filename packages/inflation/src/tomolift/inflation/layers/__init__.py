"""The layer types that inflation knows, one module per kind, and how to add another."""

from __future__ import annotations

from . import _attention as _attention
from . import _convolution as _convolution
from . import _deflate_convolution as _deflate_convolution
from . import _deflate_norm as _deflate_norm
from . import _deflate_window as _deflate_window
from . import _norm as _norm
from . import _padding as _padding
from . import _pixel_shuffle as _pixel_shuffle
from . import _pool as _pool
from . import _rank_free as _rank_free
from . import _refused as _refused
from . import _timm as _timm
from . import _transposed_convolution as _transposed_convolution
from . import _upsample as _upsample
from ._acs import AcsConv3d as AcsConv3d
from ._deflation import Deflation as Deflation
from ._deflation import How as How
from ._deflation import deflate_layer as deflate_layer
from ._depth_padded import DepthPaddedConv3d as DepthPaddedConv3d
from ._pool import DepthExactAvgPool3d as DepthExactAvgPool3d
from ._registry import inflate_layer as inflate_layer
from ._registry import register_layer as register_layer
from ._transposed_convolution import DepthPaddedConvTranspose3d as DepthPaddedConvTranspose3d
from ._two_plus_one import TwoPlusOneConv3d as TwoPlusOneConv3d
from ._weight_standardization import fold_weight_standardization as fold_weight_standardization
