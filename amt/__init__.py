"""The real-vs-fake perceptual study, usable alone.

`amt.create` makes a study, `amt.server.run` hosts it, `amt.export` gives its answers as a table,
`amt.statistics` analyses them, `amt.simulation` rehearses it.
"""
