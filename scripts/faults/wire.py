"""A PostgreSQL client that does as it is told: slow, greedy, gone."""

import socket
import struct


class Refused(Exception):
    """The error that the other side said."""

    def __init__(self, fields):
        super().__init__(f"{fields.get('C')} {fields.get('M')}")
        self.code = fields.get("C")


def message(kind, body):
    return kind + struct.pack("!i", len(body) + 4) + body


def startup(user="agent", database="shop"):
    words = f"user\0{user}\0database\0{database}\0\0".encode()
    return struct.pack("!ii", len(words) + 8, 196608) + words


def query(text):
    return message(b"Q", text.encode() + b"\0")


def fields(body):
    parts = (part for part in body.split(b"\0") if part)
    return {part[:1].decode(): part[1:].decode(errors="replace") for part in parts}


class Wire:
    """One connection. With a `window`, its receive buffer is that small."""

    def __init__(self, port, token, window=None, timeout=30.0):
        self.socket = socket.socket()
        if window:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        self.socket.settimeout(timeout)
        self.rest, self.at = bytearray(), 0
        try:
            self.socket.connect(("127.0.0.1", port))
            self.send(startup())
            kind, body = self.receive()
            if kind == b"R" and body == struct.pack("!i", 3):
                self.send(message(b"p", token.encode() + b"\0"))
            while kind != b"Z":
                kind, body = self.receive()
                if kind == b"E":
                    raise Refused(fields(body))
        except BaseException:
            self.socket.close()
            raise

    def send(self, data):
        self.socket.sendall(data)

    def more(self):
        got = self.socket.recv(1 << 16)
        if not got:
            raise ConnectionResetError("closed")
        self.rest += got
        return len(got)

    def receive(self):
        while len(self.rest) < self.at + 5:
            self.more()
        kind, size = struct.unpack_from("!ci", self.rest, self.at)
        end = self.at + 1 + size
        while len(self.rest) < end:
            self.more()
        body, self.at = bytes(self.rest[self.at + 5:end]), end
        if self.at > 1 << 16:
            del self.rest[:self.at]
            self.at = 0
        return kind, body

    def answer(self):
        """Rows of text up to the next ReadyForQuery; raises the error there was."""
        rows, error = [], None
        while True:
            kind, body = self.receive()
            if kind == b"D":
                rows.append(values(body))
            elif kind == b"E":
                error = Refused(fields(body))
                if b"SFATAL" in body:
                    raise error
            elif kind == b"Z":
                if error:
                    raise error
                return rows

    def ask(self, text):
        self.send(query(text))
        return self.answer()

    def vanish(self):
        """Gone without a word: a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self):
        self.socket.close()


def values(body):
    count, at, found = struct.unpack("!h", body[:2])[0], 2, []
    for _ in range(count):
        size = struct.unpack("!i", body[at:at + 4])[0]
        at += 4
        found.append(None if size < 0 else body[at:at + size].decode(errors="replace"))
        at += max(size, 0)
    return found
