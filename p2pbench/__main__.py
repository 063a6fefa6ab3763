"""`python -m p2pbench`."""

from p2pbench.cli import main

main()
