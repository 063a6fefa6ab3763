"""Scores from label maps: the FCN-score of photos, and that of photo -> labels outputs."""
