"""Simulated raters: programs that take part in a study over HTTP, as people's browsers do."""

from amt.simulation.raters import KINDS, Acknowledged, Ending, Kind, Outcome
from amt.simulation.simulate import simulate

__all__ = ["KINDS", "Acknowledged", "Ending", "Kind", "Outcome", "simulate"]
