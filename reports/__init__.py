"""Results in, pages out: the ledger of scores, intervals, tables, plots, the gallery, HTML, CSV and LaTeX.

Reads plain files only and imports neither torch nor the other packages. `reports.read` gives all scores of a results
folder as one table; `reports.ledger` reads and writes those of a run, `reports.bootstrap` makes their intervals,
`reports.html` writes the page.
"""

from reports.errors import ReportError
from reports.results import DamagedScores, read

__all__ = ["DamagedScores", "ReportError", "read"]
