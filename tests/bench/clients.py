#!/usr/bin/python3
"""
A bridge of two pseudo-terminals beside 1000 clients of servers of the same daemon: what its
messages take without these clients and with them, in turn.

    200     send bytes that are no frames, or nothing; half of them to a port with TLS
    200     have begun a handshake of TLS, or sent nothing yet, and do not continue
    600     are connected and read, and nothing is sent to them

    clients.py [--rounds N] [--seconds N] [--flood]

--flood: those that send do it as fast as they can.  Fails if the bridge loses a byte, if a
client that does nothing wrong is cut, or if the p99 is more than twice that without clients.
The p99s that are compared are those of the rounds that other programs have disturbed least,
which are the lowest.
"""
import argparse
import os
import random
import resource
import selectors
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from bench import CPU, Workers, free_port, load, show
from bridges import DAEMON

SENDERS, STUCK, READERS = 200, 200, 600
CONNECTED_IN = 4            # seconds, which are not measured
HANDSHAKE_TIMEOUT = 10       # seconds, then those that are cut connect again
SEND_EVERY = 0.1            # seconds
QUANTILES = "p50", "p99", "p999"
RATE = 64 * 1440            # bytes a second, each way


def certificate(directory):
    files = directory / "server.crt", directory / "server.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=here",
                    "-out", files[0], "-keyout", files[1]], check=True, capture_output=True)
    return files


class Setup:
    """A configuration: a0 and b0 are bridged; the servers have no route."""

    def __init__(self, directory, files):
        self.control = directory / "control"
        self.ports = {name: free_port() for name in ("junk", "secret", "readers")}
        tls = f"tls = yes\ntls_cert = {files[0]}\ntls_key = {files[1]}\n" \
            f"handshake_timeout = {HANDSHAKE_TIMEOUT}s\n"
        servers = {"junk": "framing = cobs\nchecksum = crc32\n", "secret": tls, "readers": ""}
        self.path = directory / "bridge.conf"
        self.path.write_text(
            f"[control local]\nlisten = unix:{self.control}\n"
            + "".join(f"[serial {x.lower()}]\ndevice = {directory}/{x}\nframing = line\n"
                      for x in ("A0", "B0"))
            + "[route r]\nbetween = a0 b0\n"
            + "".join(f"[tcp-server {name}]\nlisten = 127.0.0.1:{port}\nmax_clients = 1000\n"
                      + servers[name] for name, port in self.ports.items()))

    def ask(self, command):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(self.control))
            s.sendall(f"{command}\nquit\n".encode())
            return s.makefile().readline().strip()


def client_hello():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    out = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname="here")
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return out.read()
    raise AssertionError("a handshake without a server")


class Client:
    """first: what it sends when it is connected.  sends: it sends noise from then on."""

    def __init__(self, port, first=b"", sends=False, may_be_cut=False):
        self.port, self.first, self.sends, self.may_be_cut = port, first, sends, may_be_cut
        self.socket, self.due = None, 0.0

    def connect(self):
        self.socket = socket.create_connection(("127.0.0.1", self.port), 10)
        self.socket.setblocking(False)
        self.socket.send(self.first)

    def send(self, noise):
        try:
            return self.socket.send(noise)
        except OSError:
            return 0        # full, or cut, which is seen when it is read


def crowd(ports):
    """Those that a server cuts connect again."""
    hello = client_hello()
    for n in range(SENDERS):
        secret = n % 4 == 0
        yield Client(ports["secret" if secret else "junk"], sends=n % 2 == 0, may_be_cut=secret)
    for n in range(STUCK):
        yield Client(ports["secret"], (b"", hello[:100], hello, hello)[n % 4], may_be_cut=True)
    for n in range(READERS):
        yield Client(ports["readers"])


class Clients:
    """Moved by a thread, beside the CPU of what is measured."""

    def __init__(self, setup, flood):
        self.setup, self.flood, self.over = setup, flood, threading.Event()
        self.noise = random.Random(1).randbytes(4096 if flood else 256)
        self.selector, self.all = selectors.DefaultSelector(), list(crowd(setup.ports))
        self.result = {"sent": 0, "again": 0}
        self.error = self.cut = None
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        if others := os.sched_getaffinity(0) - {CPU}:
            os.sched_setaffinity(0, others)
        try:
            self.connect()
            while not self.over.is_set():
                self.turn()
        except AssertionError as e:
            self.error = e
        except OSError:
            self.cut = time.monotonic()
        for c in self.all:
            if c.socket:
                c.socket.close()

    def connect(self):
        began = time.monotonic()
        while not (self.setup.control.exists() or self.over.is_set()):
            time.sleep(0.01)
        for n, c in enumerate(self.all):
            c.connect()
            c.due = time.monotonic() + SEND_EVERY * n / SENDERS
            self.selector.register(c.socket, selectors.EVENT_READ, c)
        peers = [int(self.setup.ask(f"get {name}/peers")) for name in ("junk", "readers")]
        assert peers == [SENDERS * 3 // 4, READERS], peers
        took = time.monotonic() - began
        assert took < CONNECTED_IN, f"they took {took:.1f} s to connect"

    def turn(self):
        for key, _ in self.selector.select(0 if self.flood else 0.005):
            self.read(key.data)
        now = time.monotonic()
        for c in self.all[:SENDERS]:
            if c.sends and (self.flood or c.due <= now):
                self.result["sent"] += c.send(self.noise)
                c.due += SEND_EVERY

    def read(self, c):
        try:
            if c.socket.recv(65536):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        if not c.may_be_cut:
            self.cut = time.monotonic()
            return self.over.set()
        self.selector.unregister(c.socket)
        c.socket.close()
        c.connect()
        self.selector.register(c.socket, selectors.EVENT_READ, c)
        self.result["again"] += 1

    def end(self):
        """The daemon, which cuts all of them when it ends, has just ended."""
        if self.cut and self.cut < time.monotonic() - 1:
            self.error = "a client was cut that does nothing wrong"
        self.over.set()
        self.thread.join()
        return self.result


def run(directory, files, seconds, pin, flood, crowded):
    for old in directory.iterdir():
        if old not in files:
            old.unlink()
    setup = Setup(directory, files)
    clients = Clients(setup, flood) if crowded else None
    try:
        r = load(["paced", "--both", "--format", "line:64", "--rate", str(RATE), "--dir",
                  str(directory), "--warm", str(CONNECTED_IN), "--seconds", str(seconds),
                  "--", DAEMON, "-c", str(setup.path)], pin, seconds + 60)
    finally:
        more = clients.end() if clients else {}
    if "error" in r or (clients and clients.error):
        sys.exit(f"clients: {r.get('error')}, {clients and clients.error}")
    return dict(r, **more)


def figures(r):
    return "".join(f"  {k} {show(r[k]):>4} us" for k in QUANTILES)


def say(name, r):
    print(f"{name:7}" + figures(r) + f"  others had {100 * r['foreign']:.0f} % of the CPU" +
          (f"; {r['sent'] >> 10} K sent, cut and connected again {r['again']} times"
           if "sent" in r else ""), flush=True)


def main():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=int, default=10)
    p.add_argument("--seconds", type=float, default=3)
    p.add_argument("--flood", action="store_true")
    a = p.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
    workers, runs = Workers(), {"alone": [], "beside": []}
    pin = workers.pin(True)
    with tempfile.TemporaryDirectory(prefix="ttybench") as directory:
        files = certificate(Path(directory))
        for _ in range(a.rounds):
            for name, all_of_them in runs.items():
                r = run(Path(directory), files, a.seconds, pin, a.flood, name == "beside")
                all_of_them.append(r)
                say(name, r)
    least = {name: {k: min(r[k] for r in rs) for k in QUANTILES} for name, rs in runs.items()}
    wrong = sum(r[k] for rs in runs.values() for r in rs for k in ("lost", "doubled", "bad"))
    for name, quantiles in least.items():
        print(f"{name:7} at least" + figures(quantiles))
    ratio = least["beside"]["p99"] / least["alone"]["p99"]
    print(f"p99 beside the clients: {ratio:.2f} times; "
          f"{sum(r['messages'] for rs in runs.values() for r in rs):.0f} messages, "
          f"{wrong:.0f} bytes lost, doubled or bad")
    sys.exit(ratio > 2 or wrong > 0)


if __name__ == "__main__":
    main()
