"""Datasets: pairs of pictures by item id, some with labels."""
