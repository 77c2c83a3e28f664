"""
TLS: records in parts, what peers and handshakes occupy, and certificates that are unusual.
"""
from harness import FAULTS, expect, fill, free_port, pump, same, serial, wait_for
from test_tls import KB, ca, logged, numbered, secure, shaken, tls_server  # noqa: F401


def test_the_memory_of_all_peers_is_shown(pty, daemon, secure, ca):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") +
               tls_server("lan", port, ca.make("server"), framing="line"))

    def add():
        c = secure(port, ca.client_context())
        shaken(c)
        c.send(b"hello\n")
        expect(a, b"hello\n", [c])
        return d.number("lan/tls_memory")
    one = add()
    add()
    assert one > KB and add() > 1.5 * one


def test_records_that_are_sent_byte_by_byte(pty, daemon, secure, ca, directory):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line", max_frame="1M") +
               tls_server("lan", port, ca.make("server"), framing="line", max_frame="1M",
                          stall_timeout="none"),
               env={"LD_PRELOAD": str(FAULTS), "FAULT": "send 1 -1 5000",
                    "FAULT_LOG": str(directory / "faults"),
                    "ASAN_OPTIONS": "verify_asan_link_order=0"})
    c = secure(port, ca.client_context())
    shaken(c)
    wait_for(lambda: d.json("peers"))
    a.send(b"hello\n")
    expect(c, b"hello\n", [a])
    data = b"x" * 300000 + b"\n"
    a.send(data)
    pump([a, c], lambda: len(c.received) >= len(data))
    same(c.take(), data)
    c.end()
    pump([a, c], lambda: c.eof)
    assert not c.error
    assert d.number("lan/losses") == 0


def test_a_record_waits_while_the_line_is_slow(pty, daemon, secure, ca):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line", queue="4K") +
               tls_server("lan", port, ca.make("server"), framing="line"))
    c = secure(port, ca.client_context())
    shaken(c)
    for n in range(100, 161, 5):
        lines = numbered(n, 100)
        a.reading = False
        c.send(lines)
        fill([a, c])
        a.reading = True
        expect(a, lines, [c])
    assert d.dropped("a") == 0


def test_handshakes_end_with_their_endpoint(pty, daemon, connect, ca):
    port = free_port()
    d = daemon(serial("a", pty("a")) + tls_server("lan", port, ca.make("server")))
    descriptors = len(d.descriptors())
    stuck = [connect(port) for _ in range(3)]
    d.wait_number("lan/tls_handshakes", 3)
    # Before they have received anything.
    assert d.number("lan/tls_memory") > 3 * KB
    d.control("reopen lan")
    d.wait_state("lan", "up")
    pump(stuck, lambda: all(s.eof for s in stuck))
    assert len(d.descriptors()) == descriptors
    assert d.number("lan/tls_handshakes") == d.number("lan/tls_memory") == 0


def test_a_certificate_that_is_not_valid_yet_is_pointed_out(pty, daemon, ca):
    certificate = ca.make("server", first=2)
    d = daemon(serial("a", pty("a")) + tls_server("lan", free_port(), certificate))
    logged(d, f"[tcp-server lan]: the certificate is not valid yet: {certificate[0]}")


def test_a_name_with_a_nul_is_no_name(pty, daemon, secure, ca):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") + tls_server(
        "lan", port, ca.make("server"), tls_ca=ca.file, framing="line",
        roles="alice:all bob:write"))
    c = secure(port, ca.client_context(
        ca.make("bob", dns=["alice\0.example", "eve.example"])))
    shaken(c)
    wait_for(lambda: d.json("peers"))
    peer, = d.json("peers")
    assert (peer["role"], peer["certificate"]) == ("read", "eve.example")
