"""Server of studies: the raters' page and API, and the researcher's pages."""
