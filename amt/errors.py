"""The errors of the study that a user can cause, and mend."""


class AmtError(Exception):
    """Something outside the program is wrong, and the message says how to mend it.

    One line: which file or setting, what was found, what was expected, what to do.
    """
