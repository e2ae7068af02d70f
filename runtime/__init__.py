"""What runs inside a function's container when its user brings only a handler.

It speaks the container contract (docs/architecture.md) over HTTP and knows nothing of the rest of Penstock; it
imports the standard library and its HTTP server library, and installs alone into a function's image.
"""
