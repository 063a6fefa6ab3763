"""Simulated raters: programs that take part in a study over HTTP, as browsers do."""
