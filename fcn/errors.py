"""The error that whoever uses the scorer can mend."""


class FcnError(Exception):
    """What was found, what was expected, and how to mend it, in one line."""
