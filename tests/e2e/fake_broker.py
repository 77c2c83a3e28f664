"""A broker of which a test decides what it answers, and when: it speaks MQTT 5 and 3.1.1."""
import socket
import struct
import threading

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK = 1, 2, 3, 4, 8, 9
PINGREQ, PINGRESP, DISCONNECT = 12, 13, 14
SERVER_KEEP_ALIVE, MAXIMUM_PACKET_SIZE, USER_PROPERTY = 19, 39, 38
# The size of the values of properties; others are strings.
SIZES = {1: 1, 2: 4, 11: None, 17: 4, 19: 2, 33: 2, 34: 2, 35: 2, 36: 1, 37: 1, 39: 4,
         40: 1, 41: 1, 42: 1, 23: 1, 25: 1}


def number_of(data):
    """A variable byte integer, and what follows it."""
    value = shift = 0
    for i, byte in enumerate(data):
        value |= (byte & 127) << shift
        shift += 7
        if not byte & 128:
            return value, data[i + 1:]
    raise ValueError("incomplete")


def number(value):
    out = b""
    while True:
        value, low = value >> 7, value & 127
        out += bytes([low | (128 if value else 0)])
        if not value:
            return out


def string_of(data):
    n, = struct.unpack_from(">H", data)
    return data[2:2 + n].decode(), data[2 + n:]


def string(text):
    return struct.pack(">H", len(text)) + text.encode()


def properties_of(data):
    """A list of (identifier, value)."""
    found = []
    while data:
        kind, data = number_of(data)
        if kind == USER_PROPERTY:
            name, data = string_of(data)
            value, data = string_of(data)
            found.append((kind, (name, value)))
        elif SIZES.get(kind):
            found.append((kind, int.from_bytes(data[:SIZES[kind]], "big")))
            data = data[SIZES[kind]:]
        else:
            value, data = string_of(data)
            found.append((kind, value))
    return found


class Message:
    def __init__(self, flags, body, v5):
        self.qos = flags >> 1 & 3
        self.topic, rest = string_of(body)
        self.mid = None
        if self.qos:
            self.mid, = struct.unpack_from(">H", rest)
            rest = rest[2:]
        self.properties = []
        if v5:
            n, rest = number_of(rest)
            self.properties, rest = properties_of(rest[:n]), rest[n:]
        self.payload = rest


class FakeBroker:
    """
    silent: it accepts connections and never answers.  refusal: the code of CONNACK.
    properties: of CONNACK.  confirms: whether messages are confirmed at once.
    """

    def __init__(self, silent=False, refusal=0, properties=b"", confirms=True):
        self.silent, self.refusal, self.properties = silent, refusal, properties
        self.confirms = confirms
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.connects, self.messages, self.pings = [], [], 0
        self.connection, self.v5 = None, True
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def accept(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            self.connection = connection
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        data = b""
        try:
            while more := connection.recv(65536):
                data += more
                data = b"" if self.silent else self.packets(connection, data)
        except OSError:
            pass

    def packets(self, connection, data):
        while len(data) >= 2:
            try:
                n, rest = number_of(data[1:5])
            except ValueError:
                return data
            at = min(len(data), 5) - len(rest)
            if len(data) < at + n:
                return data
            self.packet(connection, data[0] >> 4, data[0] & 15, data[at:at + n])
            data = data[at + n:]
        return data

    def packet(self, connection, kind, flags, body):
        if kind == CONNECT:
            self.v5 = body[6] == 5
            n, rest = number_of(body[10:]) if self.v5 else (0, b"")
            self.connects.append(properties_of(rest[:n]))
            more = number(len(self.properties)) + self.properties if self.v5 else b""
            self.send(CONNACK, bytes([0, self.refusal]) + more, connection)
            if self.refusal:
                connection.close()
        elif kind == PUBLISH:
            message = Message(flags, body, self.v5)
            self.messages.append(message)
            if message.qos and self.confirms:
                self.confirm(message)
        elif kind == SUBSCRIBE:
            self.send(SUBACK, body[:2] + (b"\0" if self.v5 else b"") + b"\1", connection)
        elif kind == PINGREQ:
            self.pings += 1
            self.send(PINGRESP, b"", connection)

    def send(self, kind, body, connection=None):
        (connection or self.connection).sendall(
            bytes([kind << 4]) + number(len(body)) + body)

    def confirm(self, message, code=0):
        self.send(PUBACK, struct.pack(">H", message.mid) +
                  (bytes([code, 0]) if self.v5 and code else b""))

    def publish(self, topic, payload, properties=b""):
        self.send(PUBLISH, string(topic) +
                  (number(len(properties)) + properties if self.v5 else b"") + payload)

    def payloads(self):
        return [m.payload for m in self.messages]

    def drop(self):
        """Ends the connection."""
        self.connection.shutdown(socket.SHUT_RDWR)

    def close(self):
        # A thread that waits in accept() keeps the socket open otherwise.
        if self.listener.fileno() >= 0:
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        if self.connection is not None:
            self.connection.close()
