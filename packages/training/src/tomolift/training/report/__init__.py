"""What a comparison leaves for people: report.json, report.md and figures."""

from ._progress import draw_progress as draw_progress
from ._table import Row as Row
from ._table import make_table as make_table
from ._text import console_table as console_table
from ._write import write_report as write_report
