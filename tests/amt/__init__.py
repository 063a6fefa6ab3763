"""Tests of the package `amt`."""
