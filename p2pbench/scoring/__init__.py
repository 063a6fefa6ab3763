"""Scorers: from the outputs of runs to scores in the results folder."""
