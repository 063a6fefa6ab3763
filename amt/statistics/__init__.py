"""The statistics of the study: from the table of answers to fooling rates with intervals, comparisons and plans."""

from amt.statistics.analysis import Analysis, analyse
from amt.statistics.bootstrap import Estimate
from amt.statistics.planning import raters_needed, smallest_difference

__all__ = ["Analysis", "Estimate", "analyse", "raters_needed", "smallest_difference"]
