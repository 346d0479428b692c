"""The `tomolift` command."""

from ._main import main as main
