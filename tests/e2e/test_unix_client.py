"""A unix-client, the programs that it connects to, and what else is at its path."""
import os
import socket

import pytest

from harness import BINARY, expect, flush, run, section, serial, wait_for
from test_handover import restart

SOON = {"reopen_min": "20ms", "reopen_max": "50ms"}


def serve(path, kind=socket.SOCK_STREAM, backlog=4):
    server = socket.socket(socket.AF_UNIX, kind)
    server.bind(str(path))
    if kind == socket.SOCK_STREAM:
        server.listen(backlog)
    server.settimeout(10)
    return server


def accept(server):
    peer, _ = server.accept()
    peer.settimeout(10)
    return peer


def out(path, **keys):
    return section("unix-client", "out", connect=path, framing="line", **SOON, **keys)


def test_it_connects_and_connects_again_when_the_server_is_back(pty, daemon, directory):
    a, path = pty("a"), directory / "sock"
    d = daemon(serial("a", a, framing="line") + out(path), settled=False)
    d.wait_state("a", "up")
    d.wait_state("out", "lost")
    a.send(b"held\n")
    d.wait_number("out/queued_frames", 1)
    with serve(path) as server:
        with accept(server) as peer:
            assert peer.recv(100) == b"held\n"
            peer.sendall(b"back\n")
            expect(a, b"back\n")
        with accept(server) as peer:
            d.wait_state("out", "up")
            a.send(b"second\n")
            flush([a])
            assert peer.recv(100) == b"second\n"
    assert d.number("out/losses") >= 1


def test_a_connection_is_handed_over_at_a_restart(pty, daemon, directory):
    a, path = pty("a"), directory / "sock"
    with serve(path) as server:
        d = daemon(serial("a", a, framing="line") + out(path))
        with accept(server) as peer:
            peer.sendall(b"half a ")
            d.wait_number("out/rx_bytes", 7)
            restart(d, [a])
            peer.sendall(b"line\n")
            expect(a, b"half a line\n")
            a.send(b"one\n")
            flush([a])
            assert peer.recv(100) == b"one\n"
            assert d.number("out/opens") == 1


def test_it_waits_for_a_server_that_does_not_accept(pty, daemon, directory):
    a, path = pty("a"), directory / "sock"
    with serve(path, backlog=0) as server, socket.socket(socket.AF_UNIX) as other:
        other.connect(str(path))
        d = daemon(serial("a", a, framing="line") + out(path), settled=False)
        d.wait_state("out", "lost")
        assert "its server is too busy to accept connections" in d.stderr()
        accept(server).close()
        with accept(server) as peer:
            d.wait_state("out", "up")
            peer.sendall(b"hello\n")
            expect(a, b"hello\n")


def nothing(path):
    del path


def regular_file(path):
    path.write_text("")


def left_behind(path):
    serve(path).close()


def datagrams(path):
    return serve(path, socket.SOCK_DGRAM)


def forbidden(path):
    server = serve(path)
    path.chmod(0)
    return server


@pytest.mark.parametrize("make, why", [
    (nothing, "there is no such socket"),
    (regular_file, "it is not a socket"),
    (left_behind, "no program listens on it"),
    (datagrams, "it is not a stream socket"),
    (forbidden, "Permission denied")])
def test_why_it_cannot_connect_is_told(pty, daemon, directory, make, why):
    a, path = pty("a"), directory / "sock"
    server = make(path)
    # Without its capabilities root may not connect to every socket either.
    wrapper = ["setpriv", "--bounding-set=-all"] if os.geteuid() == 0 else []
    d = daemon(serial("a", a, framing="line") + out(path), settled=False, wrapper=wrapper)
    d.wait_state("out", "lost")
    wait_for(lambda: f"opening -> lost ({path}: {why})" in d.stderr())
    if server is not None:
        server.close()


def test_a_word_of_the_command_line_is_enough(pty, daemon, directory):
    a, path = pty("a"), directory / "sock"
    with serve(path) as server:
        daemon(words=[f"{a.link},framing=line,name=a",
                      f"unix-client:{path},framing=slip,name=out"])
        with accept(server) as peer:
            peer.sendall(b"\xc0hello\xc0")
            expect(a, b"hello\n")


def test_the_command_line_wants_a_path():
    done = run(BINARY, "--check", "unix-client:here.sock", "echo:")
    assert done.returncode == 2
    assert "'connect' is 'here.sock', and not the path of a socket" in done.stderr
