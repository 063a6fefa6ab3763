"""Statistics of a study: fooling rates with intervals, comparisons and plans.

Types such as `Estimate`, `Pair` and `Curve` hold shares from 0 to 1; readers of a written analysis have their own.
"""
