"""`python -m penstock.cli`, for the processes that `penstock up` starts."""

from penstock.cli import main

main()
