"""The carina command: a client of a Carina service's HTTP API, and of nothing else."""

__version__ = "0.1.0"
