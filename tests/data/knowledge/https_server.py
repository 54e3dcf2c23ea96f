"""Serves the working directory at https://127.0.0.1:4433; goes on once it listens. Takes a PEM."""

import http.server
import os
import ssl
import sys

server = http.server.HTTPServer(("127.0.0.1", 4433), http.server.SimpleHTTPRequestHandler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1])
server.socket = context.wrap_socket(server.socket, server_side=True)
if not os.fork():
    server.serve_forever()
