"""Jobs on a Ray cluster.

Only `jobs`, `nodes` and `worker` import Ray, which is an extra.
"""
