"""Procedural street scenes: label maps and random photos of them.

The classes are those of Cityscapes.
"""

from p2pbench.datasets.streets.scene import Scene, draw_scene

__all__ = ["Scene", "draw_scene"]
