"""Procedural street scenes: label maps in Cityscapes classes, and photos that are random given the labels."""

from p2pbench.datasets.streets.scene import Scene, draw_scene

__all__ = ["Scene", "draw_scene"]
