"""One run, from its settings to its generated pictures."""
