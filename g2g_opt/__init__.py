"""Planning and optimisation studies of AI datacenters on the grid, judged by closed-loop simulation."""

__version__ = "0.1.0"
