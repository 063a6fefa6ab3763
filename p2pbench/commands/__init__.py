"""Commands, one file per subject: parse, call, print.

Heavy imports stand in the functions that need them.
"""
