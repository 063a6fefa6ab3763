"""Simulated raters: programs that take part in a study over HTTP, as people's browsers do."""

from amt.simulation.outcome import Acknowledged, Ending, Outcome
from amt.simulation.raters import KINDS, Kind
from amt.simulation.simulate import simulate

__all__ = ["KINDS", "Acknowledged", "Ending", "Kind", "Outcome", "simulate"]
