"""The real-vs-fake perceptual study, usable alone.

`amt.store.create` makes a study, `amt.server.app` hosts it, `amt.store.export` gives its answers as a table,
`amt.statistics` analyses them, `amt.simulation` rehearses it.
"""
