"""tomolift.data: MSD task folders as memory-mapped caches, and what feeds them to training."""

from ._build import BuildReport as BuildReport
from ._build import build_cache as build_cache
from ._cache import Cache as Cache
from ._cache import open_cache as open_cache
from ._case_info import CaseInfo as CaseInfo
from ._geometry import Geometry as Geometry
from ._intensity import Intensity as Intensity
from ._intensity import MinMax as MinMax
from ._intensity import Percentiles as Percentiles
from ._intensity import Window as Window
from ._intensity import ZScore as ZScore
from ._intensity import parse_intensity as parse_intensity
from ._read import read_volume as read_volume
from ._statistics import Statistics as Statistics
from .errors import BadInput as BadInput
