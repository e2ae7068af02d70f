"""Function Compute's files as they are: what its s.yaml says, in Penstock's terms.

`project.load` reads a file into functions; the rest of the package is one concept each. Nothing here does I/O but
reading that file, and nothing of it is needed to run a function.
"""
