"""The study's server: the raters' page and API, and the researcher's pages."""
