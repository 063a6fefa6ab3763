"""Simulated raters: programs that take part in a study over HTTP."""
