"""A server behind the gateway: says what it was asked, and writes it down. TLS on 9443, clear on 9080."""

import http.server
import os
import ssl
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        said = f"{self.command} {self.path} {self.headers['host']} {len(body)}"
        with open(os.environ["DIR"] + "/origin.log", "a") as log:
            log.write(said + "\n")
        self.send_response(200)
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said.encode())

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


def serve(port, context):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever).start()


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(os.environ["DIR"] + "/origin.pem")
serve(9443, context)
serve(9080, None)
