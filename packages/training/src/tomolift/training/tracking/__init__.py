"""Trackers: where the figures of metrics.jsonl may be sent besides."""

from ._open import TRACKERS as TRACKERS
from ._open import Trackers as Trackers
from ._open import open_trackers as open_trackers
from ._tracker import Tracker as Tracker
from ._tracker import metrics_of as metrics_of
