"""Work on the machines of a Ray cluster. Only `tasks` and `line` import Ray, which is an extra."""
