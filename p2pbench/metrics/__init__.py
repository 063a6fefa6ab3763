"""Pure functions from pictures to numbers, one metric a file."""
