"""Tests of `p2pbench.cluster`, and of what is done on it."""
