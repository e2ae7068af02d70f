"""Listens, accepts, and says nothing for ever."""

import os
import socket

kept = []
server = socket.create_server((os.environ["HOST"], int(os.environ["PORT"])))
while True:
    kept.append(server.accept())
