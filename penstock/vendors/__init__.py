"""How other vendors' APIs show an invocation: what their clients poll, and what their webhooks are sent. Pure."""
