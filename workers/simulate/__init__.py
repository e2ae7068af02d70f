"""Replays traffic through the real scaling policies, and through those of others, in virtual time.

`trace` and `cases` say what is asked for, `world` is the machine, `policies` decide, `report` and `chart` show
what came of it. Nothing here serves a call: it imports the policy files of `workers` and must never copy them.
"""
