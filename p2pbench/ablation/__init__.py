"""A grid of runs: its cells, its presets, and the runner."""
