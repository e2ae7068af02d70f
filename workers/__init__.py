"""The pool process: queue depth in, containers and outcomes out. It knows no client connection."""
