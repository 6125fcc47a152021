# SPDX-License-Identifier: Apache-2.0
"""Pictures of labels and requests, and the report of a run."""

from .panels import colourise, overlay, panel_cells, panel_row
from .report import write_report
from .tables import format_results_table

__all__ = ['colourise', 'format_results_table', 'overlay', 'panel_cells', 'panel_row', 'write_report']
