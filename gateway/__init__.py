"""The process that clients talk to: HTTP in, answers out. It knows no container."""
