"""Labels of whole volumes, of any depth, from a finished run."""

from ._files_of_images import Predicted as Predicted
from ._files_of_images import predict_file as predict_file
from ._finished import FinishedRun as FinishedRun
from ._finished import read_finished as read_finished
from ._trained import Trained as Trained
from ._trained import load_trained as load_trained
from ._volume import predict_volume as predict_volume
from ._windows import DEFAULT_OVERLAP as DEFAULT_OVERLAP
