"""What a comparison leaves for people: report.json, report.md and figures."""

from ..comparison import Row as Row
from ._progress import draw_progress as draw_progress
from ._text import console_contrasts as console_contrasts
from ._text import console_table as console_table
from ._write import write_report as write_report
