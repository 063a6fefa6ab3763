"""The study's database: the one place that talks SQL."""
