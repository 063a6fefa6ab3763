"""Datasets: pairs of pictures by item id, with label maps where there are any."""
