"""Certificates for tests, and TLS clients and servers that are moved step by step."""
import datetime
import ipaddress
import socket
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from harness import PATIENCE, Client, Stream

DAY = datetime.timedelta(days=1)


def subject(common_name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


class Authority:
    """A CA in a directory: ca.file is its certificate; ca.make("x") makes x.crt and x.key."""

    def __init__(self, directory, name="ca"):
        self.directory = directory
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = subject(name)
        self.file = directory / f"{name}.crt"
        ca = x509.BasicConstraints(ca=True, path_length=None)
        self.certificate = self.sign(self.name, self.key.public_key(), [(ca, True)])
        self.write(self.file, self.certificate)

    def key_file(self):
        path = self.file.with_suffix(".key")
        path.write_bytes(self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption()))
        return path

    def sign(self, name, public_key, extensions, first=-1, last=365):
        now = datetime.datetime.utcnow()
        builder = x509.CertificateBuilder(
            issuer_name=self.name, subject_name=name, public_key=public_key,
            serial_number=x509.random_serial_number(),
            not_valid_before=now + first * DAY, not_valid_after=now + last * DAY)
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self.key, hashes.SHA256())

    def write(self, path, *certificates):
        path.write_bytes(b"".join(c.public_bytes(serialization.Encoding.PEM)
                                  for c in certificates))

    def make(self, common_name, file=None, dns=(), addresses=(), first=-1, last=365,
             passphrase=None):
        """(certificate, key); valid from day first to day last."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName(n) for n in dns] + \
            [x509.IPAddress(ipaddress.ip_address(a)) for a in addresses]
        extensions = [(x509.SubjectAlternativeName(names), False)] if names else []
        certificate = self.sign(subject(common_name), key.public_key(), extensions, first, last)
        file = file or common_name
        paths = self.directory / f"{file}.crt", self.directory / f"{file}.key"
        self.write(paths[0], certificate)
        encryption = serialization.BestAvailableEncryption(passphrase) if passphrase \
            else serialization.NoEncryption()
        paths[1].write_bytes(key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))
        return paths

    def client_context(self, certificate=None, verify=True):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.file)
        context.check_hostname = False
        if not verify:
            context.verify_mode = ssl.CERT_NONE
        if certificate:
            context.load_cert_chain(*certificate)
        return context

    def server_context(self, certificate, ca=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        if ca:
            context.load_verify_locations(ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


class TlsStream(Stream):
    """TLS over a connected socket.  error: why it has failed."""

    def __init__(self, sock, context, server_side=False, host=None):
        super().__init__()
        self.sock = sock
        self.sock.setblocking(False)
        self.incoming, self.encrypted = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.encrypted, server_side, host)
        self.raw = bytearray()          # encrypted, to be sent
        self.done = False               # the handshake
        self.closed = False             # the peer has sent close_notify
        self.ended = False              # we have
        self.error = None
        self.work()

    def fileno(self):
        return self.sock.fileno()

    def want(self):
        return super().want() | (4 if self.raw else 0)

    def end(self):
        """Sends close_notify; still reads."""
        self.ended = True
        self.work()
        return self

    def work(self):
        """Does what can be done with what has come."""
        try:
            if not self.done:
                self.tls.do_handshake()
                self.done = True
            while self.outgoing and not self.ended and len(self.raw) < 65536:
                n = self.tls.write(bytes(self.outgoing[:16384]))
                del self.outgoing[:n]
                self.written += n
                self.raw += self.encrypted.read()
            if self.ended == 1 and not self.outgoing:
                self.ended = 2
                try:
                    self.tls.unwrap()
                except ssl.SSLError:
                    pass
                self.raw += self.encrypted.read()
            while not self.closed and self.reading:
                data = self.tls.read(65536)
                if not data:
                    self.closed = True
                self.received += data
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.closed = True
        except ssl.SSLError as e:
            self.error, self.eof = e, True
        self.raw += self.encrypted.read()

    def _write(self):
        self.work()
        if not self.raw:
            return False
        try:
            n = self.sock.send(self.raw)
        except BlockingIOError:
            return False
        except OSError as e:
            self.raw.clear()
            return self._failed(e)
        del self.raw[:n]
        return True

    def turn(self, events):
        moved = super().turn(events)
        if self.raw and events & 4:
            moved = self._write() or moved
        return moved

    def _read(self):
        try:
            data = self.sock.recv(65536)
        except BlockingIOError:
            return False
        except OSError as e:
            return self._failed(e)
        if data:
            self.incoming.write(data)
        else:
            self.eof = True
            self.incoming.write_eof()
        self.work()
        return True

    def close(self):
        self.sock.close()


class TlsClient(TlsStream):
    def __init__(self, port, context, host=None):
        super().__init__(socket.create_connection(("127.0.0.1", port), PATIENCE), context,
                         host=host)
        while self.raw and self._write():
            pass


__all__ = ["Authority", "Client", "TlsClient", "TlsStream"]
