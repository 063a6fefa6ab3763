"""Results in, pages out: the ledger of scores, intervals, tables, plots, the gallery, HTML, CSV and LaTeX.

Reads plain files only and imports neither torch nor the other packages. `reports.results.read` gives all scores of a
results folder as one table; `reports.store.ledger` reads and writes those of a run, `reports.store.bootstrap` makes
their intervals, `reports.html` writes the page.
"""

from reports.results import DamagedScores, read
from reports.store.errors import ReportError

__all__ = ["DamagedScores", "ReportError", "read"]
