"""The golden harness: two revisions run the same commands, and everything that came out is compared."""
