"""HTTP/2 as gRPC uses it: a POST whose fields go on after the body, on both sides."""

import base64
import os
import socket
import ssl
from urllib.parse import urlsplit

import h2.config
import h2.connection
import h2.events

from http_clients import reverse
from story import check, step, tell

MESSAGE = b"\0\0\0\0\x05hello"


def exchange(stream, scheme, authority, path, fields):
    """Sends one message with trailers; gives the head, the body and the trailers of the answer."""
    http2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    http2.initiate_connection()
    head = [(":method", "POST"), (":scheme", scheme), (":authority", authority), (":path", path)]
    head += [("content-type", "application/grpc+proto"), ("te", "trailers"), *fields]
    http2.send_headers(1, head)
    http2.send_data(1, MESSAGE)
    http2.send_headers(1, [("x-sum", "7")], end_stream=True)
    stream.sendall(http2.data_to_send())
    answer, body, trailers = {}, b"", {}
    while True:
        received = stream.recv(65536)
        assert received, "the connection ended"
        for event in http2.receive_data(received):
            if isinstance(event, h2.events.ResponseReceived):
                answer = dict(event.headers)
            elif isinstance(event, h2.events.DataReceived):
                body += event.data
                http2.acknowledge_received_data(event.flow_controlled_length, 1)
            elif isinstance(event, h2.events.TrailersReceived):
                trailers = dict(event.headers)
            elif isinstance(event, h2.events.StreamEnded):
                return answer, body, trailers
            elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
                raise AssertionError(event)
        stream.sendall(http2.data_to_send())


def checked(answer, body, trailers):
    check(answer[":status"], "200")
    check(answer["content-type"], "application/grpc+proto")
    check((body, trailers), (MESSAGE + b"\0\0\0\0\x04more", {"grpc-status": "0"}))


@step
def the_reverse_face():
    url = urlsplit(reverse("api", "/grpc.Echo/Say"))
    with socket.create_connection((url.hostname, url.port), 30) as stream:
        key = ("authorization", f"Bearer {os.environ['OPENAI_API_KEY']}")
        checked(*exchange(stream, "http", url.netloc, url.path, [key]))


@step
def a_tunnel():
    proxy = urlsplit(os.environ["HTTPS_PROXY"])
    proof = base64.b64encode(f"{proxy.username}:{proxy.password}".encode()).decode()
    with socket.create_connection((proxy.hostname, proxy.port), 30) as stream:
        head = f"CONNECT listed.test:443 HTTP/1.1\r\nHost: listed.test:443\r\n"
        stream.sendall(f"{head}Proxy-Authorization: Basic {proof}\r\n\r\n".encode())
        granted = b""
        while not granted.endswith(b"\r\n\r\n"):
            granted += stream.recv(1)
        assert granted.startswith(b"HTTP/1.1 200"), granted
        context = ssl.create_default_context()
        context.set_alpn_protocols(["h2"])
        with context.wrap_socket(stream, server_hostname="listed.test") as stream:
            check(stream.selected_alpn_protocol(), "h2")
            checked(*exchange(stream, "https", "listed.test", "/grpc.Echo/Say", []))


if __name__ == "__main__":
    tell()
