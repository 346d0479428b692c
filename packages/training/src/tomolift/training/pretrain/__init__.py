"""tomolift.training.pretrain: the 2D source network by the VOC recipe, on VOC or drawn pictures."""

from __future__ import annotations

from ._command import pretrain_command as pretrain_command
from ._config import PROCEDURAL as PROCEDURAL
from ._config import PretrainConfig as PretrainConfig
from ._config import PretrainReport as PretrainReport
from ._pictures import ProceduralPictures as ProceduralPictures
from ._pictures import draw_picture as draw_picture
from ._recipe import pretrain as pretrain
from ._recipe import procedural_weights as procedural_weights
from ._source import Picture as Picture
from ._source import PictureSource as PictureSource
from ._voc import VocPictures as VocPictures
from ._voc import open_voc as open_voc
