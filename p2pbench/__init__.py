"""p2pbench: train, score, study and report image-to-image translation models.

The package is the top floor of the house: it knows `fcn`, `amt` and `reports`, and none of them knows it.
It is used from the command line; `p2pbench --help` lists what it does.
"""

from p2pbench.siblings import check_siblings

__version__ = "0.1.0"

check_siblings()
