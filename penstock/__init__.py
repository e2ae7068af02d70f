"""Penstock: serverless GPU inference on your own machines.

This package is the domain: what a function, an invocation and an instance are, and where they are kept.
It holds no process, no loop and no policy; `gateway` and `workers` stand on it.
"""

__version__ = "0.1.0"
