"""Tests of the package `fcn`."""
