"""tomolift.data: MSD task folders as memory-mapped caches, and what feeds them to training."""

from ._balance import Balance as Balance
from ._build import BuildReport as BuildReport
from ._build import build_cache as build_cache
from ._cache import Batches as Batches
from ._cache import Cache as Cache
from ._cache import open_cache as open_cache
from ._case_info import CaseInfo as CaseInfo
from ._check import check_cache as check_cache
from ._geometry import Geometry as Geometry
from ._intensity import Intensity as Intensity
from ._intensity import MinMax as MinMax
from ._intensity import Percentiles as Percentiles
from ._intensity import Window as Window
from ._intensity import ZScore as ZScore
from ._intensity import parse_intensity as parse_intensity
from ._msd import Case as Case
from ._msd import Task as Task
from ._msd import read_task as read_task
from ._phantom import PHANTOM_VERSION as PHANTOM_VERSION
from ._phantom import write_phantom as write_phantom
from ._read import read_volume as read_volume
from ._statistics import Statistics as Statistics
from ._verify import Defect as Defect
from ._verify import verify_task as verify_task
from .errors import BadInput as BadInput
