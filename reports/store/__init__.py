"""Files of a results folder: names, records, scores and their intervals."""
