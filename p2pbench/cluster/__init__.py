"""Work on the machines of a Ray cluster. Only `jobs`, `machines` and `line` import Ray, which is an extra."""
