"""A server that answers as it is told: well, not in HTTP, without end, or not at all."""

import os
import socketserver
import time


class Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        length = 0
        while (line := self.rfile.readline().strip().lower()) != b"":
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        wanted = self.rfile.read(length)
        if wanted == b"malformed":
            self.wfile.write(b"SPLENDID 200 HTTP/1.1\r\n\r\n\0\0\0")
        elif wanted == b"broken off":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
        elif wanted == b"endless":
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                self.wfile.write(b"x" * 65536)
        elif wanted == b"hangs":
            time.sleep(60)
        else:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nwell")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # whoever asked has gone


Server((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
