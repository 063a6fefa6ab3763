"""Error that a user of the scorer can fix."""


class FcnError(Exception):
    """One line: the problem found, the expected state, and the fix."""
