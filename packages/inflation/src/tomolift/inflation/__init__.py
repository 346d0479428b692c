"""tomolift.inflation: lift any 2D torch network or its weights to 3D, and check the result."""

from __future__ import annotations

from ._beyond_paper import ACS as ACS
from ._beyond_paper import Slicewise as Slicewise
from ._beyond_paper import TwoPlusOne as TwoPlusOne
from ._beyond_paper import ZeroSumNoise as ZeroSumNoise
from ._check import check_inflation as check_inflation
from ._depth import Layer as Layer
from ._in_channels import adapt_in_channels as adapt_in_channels
from ._inflate import inflate as inflate
from ._norms import recalibrate_norms as recalibrate_norms
from ._plan import InflationPlan as InflationPlan
from ._plan import plan_inflation as plan_inflation
from ._plan_layer import LayerPlan as LayerPlan
from ._report import InflationReport as InflationReport
from ._report import LayerError as LayerError
from ._rules import Override as Override
from ._state_dict import inflate_state_dict as inflate_state_dict
from ._state_dict import tensor_report as tensor_report
from ._strategies import PAPER_ALPHAS as PAPER_ALPHAS
from ._strategies import STRATEGY_NAMES as STRATEGY_NAMES
from ._strategies import Average as Average
from ._strategies import Center as Center
from ._strategies import Negative as Negative
from ._strategies import Random as Random
from ._strategies import Scaling as Scaling
from ._strategies import Strategy as Strategy
from ._strategies import TapStrategy as TapStrategy
from ._strategies import Triangular as Triangular
from ._strategies import resolve_strategy as resolve_strategy
from ._strategy_json import strategy_from_json as strategy_from_json
from ._strategy_json import strategy_to_json as strategy_to_json
from .errors import ContractError as ContractError
from .errors import DepthCollapsedError as DepthCollapsedError
from .errors import InflationError as InflationError
from .errors import ShapeMismatchError as ShapeMismatchError
from .errors import StrategyError as StrategyError
from .errors import UnsupportedFunctionError as UnsupportedFunctionError
from .errors import UnsupportedLayerError as UnsupportedLayerError
from .errors import WeightsFileError as WeightsFileError
from .layers import AcsConv3d as AcsConv3d
from .layers import DepthExactAvgPool3d as DepthExactAvgPool3d
from .layers import DepthPaddedConv3d as DepthPaddedConv3d
from .layers import DepthPaddedConvTranspose3d as DepthPaddedConvTranspose3d
from .layers import TwoPlusOneConv3d as TwoPlusOneConv3d
from .layers import register_layer as register_layer
