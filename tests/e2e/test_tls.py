"""TLS on tcp-server, tcp-client and control ports."""
import os
import re
import signal
import socket
import ssl
import subprocess
import time

import pytest

from certificates import Authority, TlsClient, TlsStream
from test_kill import manager  # noqa: F401
from harness import (PATIENCE, ControlError, expect, fill, free_port, pump, run, same,
                     section, serial, tcp_server, wait_for)

KB = 1024


@pytest.fixture
def ca(directory):
    return Authority(directory)


@pytest.fixture
def secure():
    """Makes TLS clients: secure(port, context)."""
    made = []

    def make(*args, **kwargs):
        made.append(TlsClient(*args, **kwargs))
        return made[-1]
    yield make
    for c in made:
        c.close()


@pytest.fixture
def listening():
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", free_port()))
        s.listen()
        s.settimeout(PATIENCE)
        yield s


def tls_keys(certificate, **keys):
    return dict(tls="yes", tls_cert=certificate[0], tls_key=certificate[1]) | keys


def tls_server(name, port, certificate, **keys):
    return tcp_server(name, port, **tls_keys(certificate, **keys))


def tls_client(name, port, **keys):
    return section("tcp-client", name, connect=f"127.0.0.1:{port}", tls="yes",
                   **dict(reopen_min="20ms", reopen_max="100ms") | keys)


def shaken(*clients):
    pump(clients, lambda: all((c.done and not c.raw) or c.eof for c in clients),
         what="the handshake")
    for c in clients:
        assert c.done and not c.error, c.error


def refused(c):
    """Its handshake fails, or with TLS 1.3 what comes next."""
    pump([c], lambda: c.eof, what="the end of the connection")
    return str(c.error)


def numbered(n, size):
    return b"".join((b"%07d " % i).ljust(size - 1, b"x") + b"\n" for i in range(n))


def deep_server(port, ca):
    """One that loses nothing of what a client does not read, up to 1M."""
    return tls_server("lan", port, ca.make("server"), framing="line", queue="1M",
                      stall_timeout="none")


def reading_nothing(d, a, c, n=60000, others=()):
    """Connects that client, which then reads none of the lines that a sends."""
    shaken(c)
    wait_for(lambda: len(d.json("peers")) == 1 + len(others))
    c.reading = False
    lines = numbered(n, 100)
    a.send(lines)
    fill([a, c, *others])
    return c, lines


def logged(d, text, timeout=None):
    wait_for(lambda: text in d.stderr(), timeout, f"{text!r} in the log")


# --- servers -----------------------------------------------------------------

@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_bytes_pass_both_ways(version, pty, daemon, secure, ca):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") +
               tls_server("lan", port, ca.make("server"), framing="line"))
    context = ca.client_context()
    context.minimum_version = context.maximum_version = version
    c = secure(port, context)
    shaken(c)
    c.send(b"to the line\n")
    expect(a, b"to the line\n", [c])
    a.send(b"from the line\n")
    expect(c, b"from the line\n", [a])
    assert d.number("lan/tls_failed") == 0
    assert d.number("lan/tls_handshakes") == 0


def test_much_passes_both_ways_at_once(daemon, secure, ca):
    ports = free_port(), free_port()
    certificate = ca.make("server")
    d = daemon(tls_server("x", ports[0], certificate, stall_timeout="none") +
               tls_server("y", ports[1], certificate, stall_timeout="none"))
    x, y = (secure(port, ca.client_context()) for port in ports)
    shaken(x, y)
    wait_for(lambda: len(d.json("peers")) == 2)
    one, other = os.urandom(3000 * KB), os.urandom(3000 * KB)
    x.send(one)
    y.send(other)
    pump([x, y], lambda: len(x.received) >= len(other) and len(y.received) >= len(one))
    same(y.take(), one)
    same(x.take(), other)


def test_a_peer_that_does_not_read_is_waited_for_in_little_memory(pty, daemon, secure, ca):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") +
               tls_server("lan", port, ca.make("server"), framing="line",
                          stall_timeout="none"))
    c, lines = reading_nothing(d, a, secure(port, ca.client_context()), 120000)
    assert a.outgoing                       # it is held back
    assert d.number("lan/tls_memory") < 128 * KB
    assert d.dropped("lan") == 0
    c.reading = True
    pump([a, c], lambda: len(c.received) >= len(lines))
    same(c.take(), lines)
    # What was needed for that is given back.
    wait_for(lambda: d.number("lan/tls_memory") < 64 * KB)


def test_input_waits_while_the_line_is_slow(pty, daemon, secure, ca):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") +
               tls_server("lan", port, ca.make("server"), framing="line"))
    c = secure(port, ca.client_context())
    shaken(c)
    lines = numbered(100000, 100)
    a.reading = False
    c.send(lines)
    fill([a, c])
    assert c.raw or c.outgoing
    assert d.number("lan/tls_memory") < 128 * KB
    a.reading = True
    pump([a, c], lambda: len(a.received) >= len(lines))
    same(a.take(), lines)


def test_close_notify_is_a_half_close(pty, daemon, secure, ca):
    """The answers that are owed are still written, and then the daemon's close_notify."""
    a, port = pty("a"), free_port()
    daemon(serial("a", a, framing="line") +
           tls_server("lan", port, ca.make("server"), framing="line"))
    c = secure(port, ca.client_context())
    shaken(c)
    c.send(b"question\n").end()
    expect(a, b"question\n", [c])
    a.send(b"answer\n")
    expect(c, b"answer\n", [a])
    pump([c], lambda: c.eof)
    assert c.closed and not c.error


def test_much_that_is_owed_is_written_after_close_notify(pty, daemon, secure, ca):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") + deep_server(port, ca))
    c, lines = reading_nothing(d, a, secure(port, ca.client_context()))
    taken = a.written
    a.outgoing.clear()
    c.end()
    pump([c], lambda: not c.raw)
    # So that it is known to have been read before the client goes on.
    logged_as = re.compile(r"it sends no more")
    c.reading = True
    c.work()
    pump([c], lambda: c.eof)
    assert c.closed and not c.error
    got = c.take()
    whole = lines[:taken].rpartition(b"\n")[0] + b"\n"
    same(got, whole)
    wait_for(lambda: logged_as.search(d.stderr()))


def test_a_connection_without_close_notify_is_a_loss_that_is_named(pty, daemon, secure, ca):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") +
               tls_server("lan", port, ca.make("server"), framing="line"))
    c = secure(port, ca.client_context())
    shaken(c)
    c.send(b"whole\n")
    expect(a, b"whole\n", [c])
    c.sock.shutdown(socket.SHUT_WR)
    logged(d, "closed without close_notify")
    wait_for(lambda: not d.json("peers"))


def test_the_daemon_says_goodbye_when_it_closes(pty, daemon, secure, ca):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") +
               tls_server("lan", port, ca.make("server"), framing="line"))
    c = secure(port, ca.client_context())
    shaken(c)
    wait_for(lambda: len(d.json("peers")) == 1)
    d.control("cancel lan#1.read")
    pump([c], lambda: c.eof)
    assert c.closed and not c.error
    other = secure(port, ca.client_context())
    shaken(other)
    wait_for(lambda: len(d.json("peers")) == 1)
    a.send(b"last\n")
    expect(other, b"last\n", [a])
    d.signal(signal.SIGTERM)
    pump([other], lambda: other.eof)
    assert other.closed and not other.error
    assert d.exit() == 0


# --- certificates of clients -------------------------------------------------

def test_a_client_needs_a_certificate_of_the_ca(pty, daemon, secure, directory, ca):
    port, strangers = free_port(), Authority(directory, "strangers")
    a = pty("a")
    d = daemon(serial("a", a, framing="line") +
               tls_server("lan", port, ca.make("server"), tls_ca=ca.file, framing="line"))
    assert "certificate required" in refused(secure(port, ca.client_context())).lower()
    logged(d, "it shows no certificate, which tls_ca requires")
    assert d.number("lan/tls_failed") == 1
    stranger = strangers.make("stranger")
    assert refused(secure(port, ca.client_context(stranger)))
    logged(d, "its certificate is not accepted: unable to get local issuer certificate")
    expired = ca.make("late", first=-10, last=-2)
    assert refused(secure(port, ca.client_context(expired)))
    logged(d, "its certificate is not accepted: certificate has expired")
    assert d.number("lan/tls_failed") == 3
    c = secure(port, ca.client_context(ca.make("friend")))
    shaken(c)
    c.send(b"hello\n")
    expect(a, b"hello\n", [c])
    assert d.number("lan/tls_failed") == 3
    assert len(d.json("peers")) == 1


def s_client(port, *options, stdin=subprocess.DEVNULL, data=None):
    return subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *map(str, options)],
        input=data, stdin=None if data is not None else stdin, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, timeout=PATIENCE, check=False).stdout.decode(errors="replace")


@pytest.fixture
def lan(pty, daemon, ca):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") +
               tls_server("lan", port, ca.make("server"), tls_ca=ca.file, framing="line",
                          greeting="hello\\n"))
    d.test_port = port
    return d


@pytest.mark.parametrize("version, works", [
    ("-tls1", False), ("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)])
def test_openssl_with_each_version(version, works, lan, ca):
    """At security level 0 the client would accept the old ones."""
    certificate, key = ca.make("friend")
    said = s_client(lan.test_port, version, "-CAfile", ca.file, "-cert", certificate,
                    "-key", key, "-cipher", "ALL:@SECLEVEL=0")
    assert ("Cipher is (NONE)" not in said) == works, said
    if works:
        assert "Verify return code: 0 (ok)" in said
        assert "Compression: NONE" in said
        assert "No client certificate CA names sent" not in said
    else:
        logged(lan, "TLS handshake of 127.0.0.1:")
        assert lan.number("lan/tls_failed") == 1


def test_openssl_without_a_certificate_is_refused(lan, ca):
    said = s_client(lan.test_port, "-CAfile", ca.file, "-ign_eof")
    assert "hello" not in said
    assert "alert certificate required" in said, said
    assert lan.number("lan/tls_failed") == 1


def test_openssl_cannot_renegotiate(pty, daemon, ca):
    """R alone on a line asks for it."""
    port = free_port()
    daemon(serial("a", pty("a")) + tls_server("lan", port, ca.make("server")))
    said = s_client(port, "-tls1_2", "-CAfile", ca.file, data=b"R\n")
    assert "RENEGOTIATING" in said
    assert "no renegotiation" in said, said


# --- handshakes --------------------------------------------------------------

def test_plain_text_is_an_error_that_is_counted(pty, daemon, connect, ca):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") + tls_server("lan", port, ca.make("server")))
    for n, text in enumerate((b"hello there\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                              os.urandom(64) + b"\xff" * 5000), 1):
        c = connect(port)
        c.send(text)
        pump([c], lambda: c.eof)
        d.wait_number("lan/tls_failed", n)
    logged(d, "what it sends is no TLS")
    logged(d, "what it sends is no TLS, but HTTP")
    assert not d.json("peers")


def test_a_little_plain_text_and_the_end(pty, daemon, connect, ca):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") + tls_server("lan", port, ca.make("server")))
    for text, why in ((b"AT\r", "what it sends is no TLS, and it has closed the connection"),
                      (b"\x16\x03", "failed: it has closed the connection")):
        c = connect(port)
        c.send(text)
        pump([c], lambda: not c.outgoing)
        c.close()
        logged(d, why)


def test_a_handshake_has_its_time(pty, daemon, connect, clock, ca):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") +
               tls_server("lan", port, ca.make("server"), handshake_timeout="7s"),
               env=clock.env)
    c = connect(port)
    d.wait_number("lan/tls_handshakes", 1)
    task = d.tasks()["lan.handshake#1"]
    assert re.match(r"the TLS handshake of 127\.0\.0\.1:\d+ \(for .*s more\)", task["label"])
    clock.move(d, 6)
    assert d.number("lan/tls_handshakes") == 1
    clock.move(d, 2)
    pump([c], lambda: c.eof)
    logged(d, "it was not done within 7s")
    assert d.number("lan/tls_failed") == 1
    assert d.number("lan/tls_handshakes") == 0


def test_a_handshake_byte_by_byte_has_no_longer(pty, daemon, connect, clock, ca):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") +
               tls_server("lan", port, ca.make("server"), handshake_timeout="50s"),
               env=clock.env)
    c = connect(port)
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100)
    for i in range(6):
        if c.eof:
            break
        c.send(hello[i:i + 1])
        clock.move(d, 10)
    pump([c], lambda: c.eof)
    assert d.number("lan/tls_failed") == 1


def test_stuck_handshakes_disturb_no_one(pty, daemon, connect, secure, ca):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") +
               tls_server("lan", port, ca.make("server"), framing="line", max_clients="64"))
    c = secure(port, ca.client_context())
    shaken(c)
    stuck = [connect(port) for _ in range(20)]
    for i, s in enumerate(stuck):
        s.send(b"\x16\x03\x01\x02\x00\x01"[:i % 7])
    d.wait_number("lan/tls_handshakes", 20)
    assert d.number("lan/tls_memory") < 21 * 100 * KB
    lines = numbered(3000, 100)
    c.send(lines)
    expect(a, lines, [c])
    a.send(lines)
    expect(c, lines, [a])
    other = secure(port, ca.client_context())
    shaken(other)
    assert d.number("lan/tls_handshakes") == 20
    for s in stuck:
        s.close()
    d.wait_number("lan/tls_failed", 20)
    d.wait_number("lan/tls_handshakes", 0)


def test_handshakes_count_against_max_clients(pty, daemon, connect, secure, ca):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") +
               tls_server("lan", port, ca.make("server"), max_clients="2"))
    stuck = [connect(port) for _ in range(2)]
    d.wait_number("lan/tls_handshakes", 2)
    extra = connect(port)
    pump([extra], lambda: extra.eof)
    assert d.number("lan/refused") == 1
    stuck[0].close()
    d.wait_number("lan/tls_handshakes", 1)
    c = secure(port, ca.client_context())
    shaken(c)
    d.control("cancel lan.handshake#2")
    pump(stuck[1:], lambda: stuck[1].eof)
    assert d.number("lan/tls_handshakes") == 0


# --- clients -----------------------------------------------------------------

def accept(listening, context):
    sock, _ = listening.accept()
    return TlsStream(sock, context, server_side=True)


def port_of(sock):
    return sock.getsockname()[1]


@pytest.mark.parametrize("keys, names", [
    ({}, dict(addresses=["127.0.0.1"])),
    (dict(tls_name="board.example"), dict(dns=["board.example"])),
    (dict(tls_name="board.example"), {}),           # the common name
])
def test_a_client_verifies_chain_and_name(keys, names, pty, daemon, listening, ca):
    a = pty("a")
    daemon(serial("a", a, framing="line") +
           tls_client("far", port_of(listening), tls_ca=ca.file, framing="line", **keys),
           settled=False)
    context, asked_for = ca.server_context(ca.make("board.example", **names)), []
    context.sni_callback = lambda tls, name, of: asked_for.append(name)
    s = accept(listening, context)
    shaken(s)
    assert asked_for == [keys.get("tls_name")]
    a.send(b"over there\n")
    expect(s, b"over there\n", [a])
    s.send(b"and back\n")
    expect(a, b"and back\n", [s])
    s.close()


@pytest.mark.parametrize("keys, names, why", [
    ({}, dict(dns=["localhost"]), "IP address mismatch"),
    (dict(tls_name="board.example"), dict(dns=["other.example"]), "hostname mismatch"),
    (dict(tls_name="board.lan.example"), dict(dns=["b*.lan.example"]),
     "hostname mismatch"),
    (dict(tls_name="board.example"), dict(dns=["board.example"], last=-1, first=-9),
     "certificate has expired"),
])
def test_a_server_that_is_not_the_one(keys, names, why, pty, daemon, listening, ca):
    d = daemon(serial("a", pty("a"), framing="line") +
               tls_client("far", port_of(listening), tls_ca=ca.file, framing="line", **keys),
               settled=False)
    s = accept(listening, ca.server_context(ca.make("x", **names)))
    assert refused(s)
    wait_for(lambda: d.endpoints()["far"]["reason"] ==
             f"TLS handshake failed: its certificate is not accepted: {why}")
    assert d.number("far/tls_failed") >= 1
    s.close()


def test_a_server_of_an_unknown_ca(pty, daemon, listening, directory, ca):
    """Without tls_ca those of the system are trusted, which ours is not one of."""
    strangers = Authority(directory, "strangers")
    d = daemon(serial("a", pty("a")) + tls_client("far", port_of(listening)), settled=False)
    s = accept(listening, strangers.server_context(
        strangers.make("x", addresses=["127.0.0.1"])))
    assert refused(s)
    wait_for(lambda: "unable to get local issuer certificate" in d.get("far/error"))
    s.close()


def test_verification_can_be_turned_off(pty, daemon, listening, ca):
    a = pty("a")
    d = daemon(serial("a", a, framing="line") +
               tls_client("far", port_of(listening), tls_verify="no", framing="line"),
               settled=False)
    s = accept(listening, ca.server_context(ca.make("whoever")))
    shaken(s)
    a.send(b"anyway\n")
    expect(s, b"anyway\n", [a])
    logged(d, "tls_verify = no: the server is not verified")
    s.close()


def test_a_client_shows_its_certificate(pty, daemon, listening, ca):
    a, own = pty("a"), ca.make("bridge")
    daemon(serial("a", a, framing="line") +
           tls_client("far", port_of(listening), tls_ca=ca.file, framing="line",
                      tls_cert=own[0], tls_key=own[1]), settled=False)
    s = accept(listening, ca.server_context(ca.make("x", addresses=["127.0.0.1"]), ca.file))
    shaken(s)
    assert (("commonName", "bridge"),) in s.tls.getpeercert()["subject"]
    s.close()


def test_a_server_that_cuts_the_connection(pty, daemon, listening, ca):
    d = daemon(serial("a", pty("a")) +
               tls_client("far", port_of(listening), tls_ca=ca.file), settled=False)
    certificate = ca.make("x", addresses=["127.0.0.1"])
    s = accept(listening, ca.server_context(certificate))
    shaken(s)
    d.wait_state("far", "up")
    s.close()
    logged(d, "far: up -> lost (closed without close_notify: what was sent last may be missing)")
    s = accept(listening, ca.server_context(certificate))
    shaken(s)
    d.wait_state("far", "up")
    s.end()
    pump([s], lambda: not s.raw)
    logged(d, "far: up -> lost (closed by the peer)")
    s.close()


def test_a_server_that_speaks_no_tls(pty, daemon, listening, ca):
    d = daemon(serial("a", pty("a")) +
               tls_client("far", port_of(listening), tls_ca=ca.file), settled=False)
    sock, _ = listening.accept()
    sock.sendall(b"220 welcome\r\n")
    wait_for(lambda: "what it sends is no TLS" in d.get("far/error"))
    sock.close()


def test_a_server_that_does_not_answer_the_handshake(pty, daemon, listening, ca):
    d = daemon(serial("a", pty("a")) +
               tls_client("far", port_of(listening), tls_ca=ca.file, handshake_timeout="50ms"),
               settled=False)
    sock, _ = listening.accept()
    wait_for(lambda: "it was not done within 50ms" in d.get("far/error"))
    sock.close()


def test_two_daemons(pty, daemon, ca):
    a, b, port = pty("a"), pty("b"), free_port()
    own = ca.make("far", dns=["server.example"])
    server = daemon(serial("a", a, framing="line") +
                    tls_server("lan", port, own, tls_ca=ca.file, framing="line"))
    client = ca.make("near")
    near = daemon(serial("b", b, framing="line") +
                  tls_client("far", port, tls_ca=ca.file, tls_name="server.example",
                             tls_cert=client[0], tls_key=client[1], framing="line"))
    lines = numbered(5000, 100)
    a.send(lines)
    b.send(lines)
    pump([a, b], lambda: len(a.received) >= len(lines) and len(b.received) >= len(lines))
    same(a.take(), lines)
    same(b.take(), lines)
    server.stop()
    near.wait_state("far", "lost")
    logged(near, "far: up -> lost (closed by the peer)")


# --- reload and restart ------------------------------------------------------

def certificate_of(c):
    return c.tls.getpeercert(binary_form=True)


def test_certificates_are_read_again_and_no_one_is_disconnected(pty, daemon, secure, ca):
    a, port = pty("a"), free_port()
    own = ca.make("first", file="server")
    d = daemon(serial("a", a, framing="line") + tls_server("lan", port, own, framing="line"))
    old = secure(port, ca.client_context())
    shaken(old)
    ca.make("second", file="server")
    d.reload()
    new = secure(port, ca.client_context())
    shaken(new)
    assert certificate_of(new) != certificate_of(old)
    wait_for(lambda: len(d.json("peers")) == 2)
    a.send(b"to both\n")
    expect(old, b"to both\n", [a])
    expect(new, b"to both\n", [a])
    assert d.number("lan/opens") == 1
    assert "its section has changed" not in d.stderr()


def test_a_bad_certificate_fails_the_reload(pty, daemon, secure, ca):
    a, port = pty("a"), free_port()
    own = ca.make("server")
    text = serial("a", a, framing="line") + tls_server("lan", port, own, framing="line")
    d = daemon(text)
    c = secure(port, ca.client_context())
    shaken(c)
    ca.make("late", file="server", first=-10, last=-3)
    line = 1 + d.file.read_text().split("\n").index(f"tls_cert = {own[0]}")
    with pytest.raises(ControlError) as e:
        d.reload(text.replace("[serial a]", "[serial b]"))
    assert f"{d.file}:{line}: [tcp-server lan]: 'tls_cert': {own[0]}: it expired on" in \
        "\n".join(e.value.lines)
    assert "a" in d.endpoints()
    # The one in use is still the old one.
    other = secure(port, ca.client_context())
    shaken(other)
    assert certificate_of(other) == certificate_of(c)


def test_the_first_section_with_tls_comes_with_a_reload(pty, daemon, secure, ca):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line"))
    assert "libssl" not in open(f"/proc/{d.pid}/maps").read()
    d.reload(serial("a", a, framing="line") +
             tls_server("lan", port, ca.make("server"), framing="line"))
    c = secure(port, ca.client_context())
    shaken(c)
    a.send(b"later\n")
    expect(c, b"later\n", [a])


def restart(d):
    before = d.stderr().count("version ")
    d.signal(signal.SIGUSR2)
    wait_for(lambda: d.stderr().count(": version ") + d.stderr().count("version ") > before)


def test_a_restart_delivers_what_is_queued_and_says_goodbye(pty, daemon, connect, secure, ca):
    a, port, plain_port = pty("a"), free_port(), free_port()
    d = daemon(section("daemon", None, drain_timeout="20s") +
               serial("a", a, framing="line") +
               deep_server(port, ca) + tcp_server("plain", plain_port, framing="line") +
               section("route", "r", from_="a", to="lan plain"))
    plain = connect(plain_port)
    c, lines = reading_nothing(d, a, secure(port, ca.client_context()), others=[plain])
    assert d.queued("lan") > 0
    d.signal(signal.SIGUSR2)
    wait_for(lambda: "daemon.drain" in d.tasks())
    c.reading = True
    c.work()
    pump([c, plain], lambda: c.eof)
    assert c.closed and not c.error
    wait_for(lambda: d.stderr().count("endpoints up") == 2)
    got = c.take()
    same(got, lines[:len(got)])
    assert got.endswith(b"\n")
    assert d.dropped("lan") == d.dropped("lan", "nobody")
    again = secure(port, ca.client_context())
    shaken(again)
    pump([a, plain, again], lambda: len(plain.received) == len(lines))
    same(plain.take(), lines)


def test_what_a_restart_cannot_deliver_is_counted(pty, daemon, secure, ca):
    a, port = pty("a"), free_port()
    d = daemon(section("daemon", None, drain_timeout="100ms") + serial("a", a, framing="line") +
               deep_server(port, ca))
    c, lines = reading_nothing(d, a, secure(port, ca.client_context()))
    queued = d.queued("lan")
    assert queued > 0
    d.signal(signal.SIGUSR2)
    wait_for(lambda: d.stderr().count("endpoints up") == 2)
    assert d.dropped("lan", "closed") + d.dropped("lan", "cut") == queued
    c.reading = True
    c.work()
    pump([c], lambda: c.eof)
    got = c.take().rpartition(b"\n")[0] + b"\n"
    same(got, lines[:len(got)])


def test_frames_for_a_server_wait_for_the_next_process(pty, daemon, listening, ca):
    a = pty("a")
    d = daemon(section("daemon", None, drain_timeout="100ms") + serial("a", a, framing="line") +
               tls_client("far", port_of(listening), tls_ca=ca.file, framing="line",
                          queue="1M"), settled=False)
    context = ca.server_context(ca.make("x", addresses=["127.0.0.1"]))
    s = accept(listening, context)
    shaken(s)
    s.reading = False
    lines = numbered(60000, 100)
    a.send(lines)
    fill([a, s])
    queued = d.queued("far")
    assert queued > 0
    d.signal(signal.SIGUSR2)
    new = accept(listening, context)
    s.reading = True
    s.work()
    pump([s, new, a], lambda: s.eof and new.received.endswith(lines[-100:]))
    got = (s.take() + b"\n" + new.take()).split(b"\n")
    numbers = [int(line[:7]) for line in got if len(line) == 99]
    assert numbers == sorted(set(numbers))
    # While it was down, its queue has kept the newest.
    assert len(numbers) + d.dropped("far") == 60000
    s.close()
    new.close()


def test_a_restart_by_the_service_manager(manager, directory, pty, connect, secure, ca):
    """What is open without TLS stays open, listeners too."""
    a, port, plain_port = pty("a"), free_port(), free_port()
    conf = serial("a", a, framing="line") + deep_server(port, ca) + \
        tcp_server("plain", plain_port, framing="line", stall_timeout="none")
    d = manager.start(directory, conf)
    d.settle()
    plain = connect(plain_port)
    c, lines = reading_nothing(d, a, secure(port, ca.client_context()), others=[plain])
    assert d.queued("lan") > 0
    d.signal(signal.SIGTERM)
    c.reading = True
    c.work()
    pump([c, plain, a], lambda: c.eof)
    assert c.closed and not c.error
    assert d.exit() == 0
    got = c.take()
    same(got, lines[:len(got)])
    assert got.endswith(b"\n")
    # A client that comes while there is no process waits for the next one.
    early = secure(port, ca.client_context())
    d = manager.start(directory, conf)
    shaken(early)
    wait_for(lambda: len(d.json("peers")) == 2)
    assert d.dropped("lan") == d.dropped("lan", "nobody")
    pump([a, plain, early], lambda: len(plain.received) == len(lines))
    same(plain.take(), lines)
    d.stop()


def test_there_is_an_event_for_each_wait(pty, daemon, connect, secure, ca):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") +
               tls_server("lan", port, ca.make("server"), framing="line",
                          stall_timeout="none"))

    def balance():
        waits, _, events, _ = d.raw("get daemon/waits\nget daemon/events\n").split()
        assert waits == events
    c, stuck = secure(port, ca.client_context()), connect(port)
    shaken(c)
    wait_for(lambda: len(d.json("peers")) == 1)
    d.wait_number("lan/tls_handshakes", 1)
    balance()
    c.reading = False
    a.send(numbered(60000, 100))
    fill([a, c])
    balance()
    c.reading = True
    c.work()
    pump([a, c], lambda: len(c.received) == 6000000)
    balance()
    stuck.close()


def test_telnet_passes_through_tls(pty, daemon, secure, ca):
    a, port = pty("a"), free_port()
    daemon(serial("a", a) +
           tls_server("lan", port, ca.make("server"), protocol="telnet"))
    c = secure(port, ca.client_context())
    shaken(c)
    # DO BINARY, WILL BINARY; then 0xff is doubled.
    c.send(b"\xff\xfd\x00\xff\xfb\x00" + b"a\xff\xffb" * 5000)
    pump([a, c], lambda: len(a.received) >= 3 * 5000)
    same(a.take(), b"a\xffb" * 5000)
    a.send(b"a\xffb" * 5000)
    pump([a, c], lambda: c.received.endswith(b"a\xff\xffb") and
         c.received.count(b"a\xff\xffb") == 5000)


# --- expiry ------------------------------------------------------------------

def test_a_certificate_that_expires_soon_is_pointed_out(pty, daemon, ca):
    port = free_port()
    d = daemon(serial("a", pty("a")) + tls_server("lan", port, ca.make("server", last=20.5)))
    logged(d, "warning: [tcp-server lan]: the certificate expires on ")
    # From noon on, half a day later is another day of the calendar.
    assert re.search(r"lan.*the certificate expires on \d{4}-\d\d-\d\d \(in 2[01] days\)",
                     "\n".join(d.control("endpoints")))
    assert 20 * 86400 < d.number("lan/tls_expires") < 21 * 86400
    assert d.state("lan") == "up"


def test_the_days_are_those_of_the_calendar(pty, daemon, ca):
    """Whether it is a moment before that time of the day or after it."""
    d = daemon(serial("a", pty("a")) + "".join(
        tls_server(f"lan{i}", free_port(), ca.make(f"server{i}", last=5 + i / 86400))
        for i in range(3)))
    text = "\n".join(d.control("endpoints"))
    said = set(re.findall(r"expires on (\S+) \(in (\d+) days\)", text))
    assert len(said) == len({day for day, _ in said}) and ("5" in dict(said).values()), said


def test_a_certificate_of_a_ca_is_pointed_out(pty, daemon, ca):
    d = daemon(serial("a", pty("a")) +
               tls_server("lan", free_port(), (ca.file, ca.key_file())))
    logged(d, "warning: [tcp-server lan]: the certificate is that of a CA (CA:TRUE), whose "
           f"key can sign others that are trusted; a server's has CA:FALSE: {ca.file}")


def test_a_certificate_that_does_not_is_not(pty, daemon, ca):
    port = free_port()
    d = daemon(serial("a", pty("a")) + tls_server("lan", port, ca.make("server", last=40)))
    assert d.endpoints()["lan"]["reason"] is None
    assert d.number("lan/tls_expires") > 30 * 86400
    assert "warning: [tcp-server" not in d.stderr()


# --- check -------------------------------------------------------------------

def checked(directory, text):
    file = directory / "check.conf"
    file.write_text(text)
    done = run("--check", "-c", file)
    return done.returncode, (done.stdout + done.stderr).replace(f"{file}:", "")


def test_files_are_read_by_check(directory, ca):
    good, other = ca.make("good"), ca.make("other")
    locked = ca.make("locked", passphrase=b"secret")
    late = ca.make("late", first=-9, last=-1)
    (directory / "empty").write_text("")
    cases = [
        ((good[0], other[1]), {}, f"'tls_key': {other[1]} does not belong to the certificate "
         f"{good[0]}: key values mismatch"),
        ((directory / "none", good[1]), {},
         f"'tls_cert': {directory}/none: No such file or directory"),
        ((good[0], directory / "none"), {},
         f"'tls_key': {directory}/none: No such file or directory"),
        ((directory / "empty", good[1]), {}, f"'tls_cert': {directory}/empty: it has no "
         '"BEGIN CERTIFICATE" (PEM format)'),
        (good[::-1], {},
         f"'tls_cert': {good[1]}: it has \"BEGIN PRIVATE KEY\", and not \"BEGIN CERTIFICATE\""),
        ((good[0], good[0]), {},
         f"'tls_key': {good[0]}: it has \"BEGIN CERTIFICATE\", and not \"BEGIN PRIVATE KEY\""),
        (good, dict(tls_ca=good[1]),
         f"'tls_ca': {good[1]}: it has \"BEGIN PRIVATE KEY\", and not \"BEGIN CERTIFICATE\""),
        (locked, {}, f"'tls_key': {locked[1]}: it is encrypted; write it without a passphrase"),
        (good, dict(tls_ca=directory / "none"),
         f"'tls_ca': {directory}/none: No such file or directory"),
        (good, dict(tls_ca=directory), f"'tls_ca': {directory}: Is a directory"),
        (late, {}, f"'tls_cert': {late[0]}: it expired on "),
    ]
    for certificate, keys, why in cases:
        status, said = checked(
            directory, section("serial", "a", device="/dev/ttyS9") +
            tls_server("lan", 5011, certificate, **keys))
        assert status == 2
        line = {"tls_cert": 6, "tls_key": 7, "tls_ca": 8}[why.split("'")[1]]
        assert said.startswith(f"{line}: [tcp-server lan]: {why}"), said
    status, said = checked(directory, section("serial", "a", device="/dev/ttyS9") +
                           tls_server("lan", 5011, good))
    assert status == 0, said


# --- control ports -----------------------------------------------------------

def control(ca, port, **keys):
    return section("control", "secure", listen=f"127.0.0.1:{port}",
                   **tls_keys(ca.make("server"), **keys))


def asked(c, command):
    c.send(command + b"\n")
    end = re.compile(rb"(?m)^(OK|ERR [^\n]*)\n")
    pump([c], lambda: end.search(c.received) or c.eof)
    return c.take().decode()


def test_a_control_port_with_tls(pty, daemon, secure, ca):
    port = free_port()
    d = daemon(serial("a", pty("a")) + control(ca, port))
    c = secure(port, ca.client_context())
    shaken(c)
    assert asked(c, b"get a/state") == "up\nOK\n"
    assert asked(c, b"pause a") == "ERR full access to this port is given by certificate; " \
        "pause needs full = NAME\n"
    assert asked(c, b"capture start x") == "ERR full access to this port is given by " \
        "certificate; capture start needs full = NAME\n"
    c.send(b"version\n" * 3).end()
    pump([c], lambda: c.eof)
    assert c.closed and not c.error
    assert c.take().count(b"OK\n") == 3
    assert "secure: listens on" in d.stderr()


def test_a_command_may_come_together_with_the_end_of_the_handshake(pty, daemon, secure, ca):
    port = free_port()
    daemon(serial("a", pty("a")) + control(ca, port))
    c = secure(port, ca.client_context())
    assert asked(c, b"get a/state") == "up\nOK\n"


def test_full_access_for_the_certificates_that_are_named(pty, daemon, secure, ca):
    port = free_port()
    d = daemon(serial("a", pty("a")) +
               control(ca, port, tls_ca=ca.file, full="admin.example other"))
    for certificate, full in (
            (ca.make("someone"), False),
            (ca.make("admin.example", file="common name"), True),
            (ca.make("x", file="alternative", dns=["y", "admin.example"]), True),
            # The common name counts only if there are no others.
            (ca.make("other", file="both", dns=["third"]), False),
            (ca.make("admin.example.evil"), False),
            (ca.make("other"), True)):
        c = secure(port, ca.client_context(certificate))
        shaken(c)
        assert asked(c, b"pause a") == ("OK\n" if full else asked(c, b"pause a"))
        assert (asked(c, b"resume a") == "OK\n") == full
        c.close()
    nobody = secure(port, ca.client_context())
    refused(nobody)
    logged(d, "it shows no certificate")


def test_much_is_replied_over_tls_to_one_who_sends_no_more(pty, daemon, secure, ca):
    port = free_port()
    daemon(serial("a", pty("a")) + control(ca, port))
    c = secure(port, ca.client_context())
    shaken(c)
    c.reading = False
    c.send(b"ps\nlist\n" * 300).end()
    fill([c])
    c.reading = True
    c.work()
    pump([c], lambda: c.eof)
    assert c.closed and not c.error
    assert c.take().count(b"OK\n") == 600


def test_a_control_port_is_not_held_up_by_stuck_handshakes(pty, daemon, connect, secure, ca):
    port = free_port()
    d = daemon(serial("a", pty("a")) +
               control(ca, port, handshake_timeout="500ms", max_clients="4"))
    stuck = [connect(port) for _ in range(4)]
    pump(stuck, lambda: all(s.eof for s in stuck))
    logged(d, "secure: TLS handshake of")
    c = secure(port, ca.client_context())
    shaken(c)
    assert asked(c, b"get a/state") == "up\nOK\n"


def test_certificates_of_a_control_port_are_read_again(pty, daemon, secure, ca):
    port = free_port()
    d = daemon(serial("a", pty("a")) + control(ca, port))
    old = secure(port, ca.client_context())
    shaken(old)
    ca.make("second", file="server")
    d.reload()

    def changed():
        new = secure(port, ca.client_context())
        shaken(new)
        return certificate_of(new) != certificate_of(old)
    wait_for(changed)
    assert asked(old, b"get a/state") == "up\nOK\n"


# --- roles of certificates ------------------------------------------------------------

def test_roles_belong_to_certificates(pty, daemon, secure, ca):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") + tls_server(
        "lan", port, ca.make("server"), tls_ca=ca.file, framing="line",
        roles="alice:all board.lan:write bob:read", greeting=r"hello\n"))
    alice = secure(port, ca.client_context(ca.make("alice")))
    expect(alice, b"hello\n")
    alice.send(b"from alice\n")
    expect(a, b"from alice\n", [alice])
    # The common name does not count beside a DNS name.
    board = secure(port, ca.client_context(ca.make("alice", "board", dns=["board.lan"])))
    shaken(board)
    board.send(b"from board\n")
    expect(a, b"from board\n", [board])
    other = secure(port, ca.client_context(ca.make("eve")))
    expect(other, b"hello\n")
    other.send(b"from eve\n")
    d.wait_number("lan/refused_bytes", 9)
    a.send(b"line\n")
    expect(alice, b"line\n", [a])
    expect(other, b"line\n")
    assert not board.received and not a.received
    peers = d.json("peers")
    assert [p["role"] for p in peers] == ["all", "write", "read"]
    assert [p["certificate"] for p in peers] == ["alice", "board.lan", "eve"]
    assert all(p["tls"].startswith("TLSv1.") for p in peers)
    # The section changes while they are connected.
    d.control("set lan/roles eve:all")
    other.send(b"from eve\n")
    expect(a, b"from eve\n", [other])
    alice.send(b"from alice\n")
    d.wait_number("lan/refused_bytes", 9 + 11)


@pytest.mark.parametrize("n", [1, 3, 300])
def test_a_certificate_with_many_names(n, pty, daemon, secure, ca):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") + tls_server(
        "lan", port, ca.make("server"), tls_ca=ca.file, framing="line",
        roles=f"name{min(n, 100) - 1}:all"))
    names = [f"name{i}" for i in range(n)]
    c = secure(port, ca.client_context(ca.make("many", dns=names)))
    shaken(c)
    c.send(b"hello\n")
    expect(a, b"hello\n", [c])
    peer, = d.json("peers")
    assert peer["role"] == "all" and peer["certificate"] == "name0"


def test_a_role_that_is_no_longer_given_is_the_default(pty, daemon, secure, ca):
    a, port, server = pty("a"), free_port(), ca.make("server")
    conf = serial("a", a, framing="line")
    keys = dict(tls_ca=ca.file, framing="line")
    d = daemon(conf + tls_server("lan", port, server, role="all", **keys))
    d.reload(conf + tls_server("lan", port, server, **keys))
    d.control("set lan/roles alice:all")
    c = secure(port, ca.client_context(ca.make("eve")))
    shaken(c)
    c.send(b"hello\n")
    d.wait_number("lan/refused_bytes", 6)
    assert d.get("lan/role") == "read"


def test_one_in_a_handshake_takes_no_place(pty, daemon, connect, secure, ca):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") + tls_server(
        "lan", port, ca.make("server"), tls_ca=ca.file, framing="line",
        max_clients=1, takeover="yes", writer="last"))
    first = secure(port, ca.client_context(ca.make("first")))
    shaken(first)
    wait_for(lambda: d.json("peers"))
    stranger = connect(port)
    wait_for(lambda: d.number("lan/tls_handshakes") == 1)
    # Nor are there more of them than clients.
    other = connect(port)
    pump([other], lambda: other.eof)
    assert d.number("lan/tls_handshakes") == d.number("lan/refused") == 1
    first.send(b"first\n")
    expect(a, b"first\n", [first])
    stranger.close()
    wait_for(lambda: d.number("lan/tls_handshakes") == 0)
    second = secure(port, ca.client_context(ca.make("second")))
    shaken(second)
    pump([first, second], lambda: first.eof)
    second.send(b"second\n")
    expect(a, b"second\n", [second])
    assert d.number("lan/replaced") == 1


def test_roles_need_certificates(pty, ca, directory):
    file = directory / "x.conf"
    file.write_text(serial("a", pty("a")) +
                    tls_server("lan", 5011, ca.make("server"), roles="alice:all"))
    done = run("-c", file, "--check")
    assert done.returncode == 2 and "'roles' needs 'tls_ca'" in done.stdout + done.stderr
