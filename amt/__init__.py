"""The real-vs-fake perceptual study of p2pbench, usable alone.

`amt.store.create` creates a study, `amt.server.app` hosts it, `amt.store.export` tabulates its answers,
`amt.statistics` analyses them, `amt.simulation` rehearses the study with programs as raters.
"""
