"""How other vendors' APIs show an invocation: what their clients poll, and what their webhooks are sent.

All of it is pure but `shown`, which reads what the others need.
"""
