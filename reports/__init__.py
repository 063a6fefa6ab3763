"""Tables, intervals, plots and pages from a results folder of p2pbench.

Reads plain files only and imports neither torch nor the other packages. `read` gives all scores of a results folder as
one table; `reports.html.write_report` writes the page. `reports.store` reads and writes the files that all packages
share.
"""

from reports.store.errors import ReportError
from reports.tidy import DamagedScores
from reports.tidy import read_scores as read

__all__ = ["DamagedScores", "ReportError", "read"]
