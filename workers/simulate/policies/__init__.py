"""Who decides how many instances there are: our own policy, and models of three others.

The models of others are written from what those projects document and test; they replay decisions, not code.
"""
