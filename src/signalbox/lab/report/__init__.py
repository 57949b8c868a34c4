"""A rehearsal as a table, as JSON, as CSV and as a page."""

from signalbox.lab.report.data import as_json, request_lines
from signalbox.lab.report.page import as_page
from signalbox.lab.report.tables import figure_table, figure_title, ladder_table, ladder_title

__all__ = ["as_json", "as_page", "figure_table", "figure_title", "ladder_table", "ladder_title", "request_lines"]
