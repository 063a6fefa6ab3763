"""The errors a user of the reports can cause, and mend."""


class ReportError(Exception):
    """A results folder that cannot be read or a page that cannot be written; one line that says how to mend it."""
