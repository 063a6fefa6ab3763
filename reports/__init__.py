"""Results in, pages out: the ledger of scores, intervals, tables, plots, the gallery, HTML and CSV.

Reads plain files only and imports neither torch nor the other packages. `reports.ledger` reads and writes scores,
`reports.bootstrap` makes their intervals, `reports.html` writes the page.
"""
