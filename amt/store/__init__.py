"""Database of studies; the only package with SQL."""
