"""The 2D source network."""

from ._pictures import ProceduralPictures as ProceduralPictures
