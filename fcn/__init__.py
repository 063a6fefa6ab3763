"""The FCN-8s scorer, usable alone.

So far it holds the label tables that scoring rests on (`fcn.labels`); the network and the scorer are to come.
"""
