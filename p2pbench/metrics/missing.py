"""What a scorer needs and does not find."""

from __future__ import annotations


class Missing(Exception):
    """A scorer cannot score, here or these pictures; the message is one line: what is missing, and what mends it."""


class MissingPackage(Missing):
    """A package of the extra is not installed."""


class MissingWeights(Missing):
    """A published file of weights has not been downloaded."""
