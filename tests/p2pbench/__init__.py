"""Tests of the package `p2pbench`."""
