"""Datagrams: whose they are, which come and go, who is forgotten."""
import socket

import pytest

from harness import (expect, flush, free_port, route, section, serial,
                     wait_for)
from test_tcp import own_address


class Peer:
    """A program that sends and receives datagrams."""

    def __init__(self, address="127.0.0.1"):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_DGRAM)
        self.sock.settimeout(10)
        self.sock.bind((address, 0))
        self.port = self.sock.getsockname()[1]
        brackets = f"[{address}]" if ":" in address else address
        self.address = f"{brackets}:{self.port}"

    def say(self, data, to):
        self.sock.sendto(data, to)

    def hear(self):
        return self.sock.recv(65536)


@pytest.fixture
def peer():
    made = []

    def make(*args):
        try:
            made.append(Peer(*args))
        except OSError as e:
            pytest.skip(f"no {args}: {e}")
        return made[-1]
    yield make
    for p in made:
        p.sock.close()


def send(a, text):
    a.send(text)
    flush([a])


@pytest.mark.parametrize("listen, own, to", [
    ("[::1]", "::1", "::1"), ("[::]", "127.0.0.1", "127.0.0.1")])
def test_datagrams_go_by_ipv6_and_to_ipv4(pty, daemon, peer, listen, own, to):
    p = peer(own)
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") +
               section("udp", "air", listen=f"{listen}:{port}",
                       send_to=p.address))
    send(a, b"one\n")
    assert p.hear() == b"one"
    p.say(b"two", (to, port))
    expect(a, b"two\n", [a])
    # It is the partner, and not another peer.
    assert d.number("air/peers") == 1


def test_two_peers_of_ipv6_are_told_apart(pty, daemon, peer):
    a, port = pty("a"), free_port()
    one, other = peer("::1"), peer("::1")
    d = daemon(serial("a", a, framing="line") +
               section("udp", "air", listen=f"[::1]:{port}"))
    one.say(b"one", ("::1", port))
    other.say(b"other", ("::1", port))
    one.say(b"one", ("::1", port))
    expect(a, b"one\nother\none\n", [a])
    assert d.number("air/peers") == 2


def test_a_frame_that_no_datagram_can_carry_is_counted(pty, daemon, peer):
    p, a = peer(), pty("a")
    d = daemon(serial("a", a, framing="line", max_frame="100K") +
               section("udp", "air", send_to=p.address, max_frame="100K",
                       queue="1M"))
    send(a, b"x" * 70000 + b"\n" + b"short\n")
    assert p.hear() == b"short"
    assert d.dropped("air") == 1


def test_who_was_not_heard_of_for_a_minute_is_forgotten(
        pty, daemon, peer, clock):
    p, a, port = peer(), pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") +
               section("udp", "air", listen=f"127.0.0.1:{port}"), env=clock.env)
    assert d.tasks()["air.expiry"]["label"] == "no peer that could be forgotten"
    p.say(b"hello", ("127.0.0.1", port))
    expect(a, b"hello\n", [a])
    assert d.tasks()["air.expiry"]["label"].startswith(
        f"{p.address} to be heard of, or to be forgotten in ")
    clock.move(d, 40)
    p.say(b"again", ("127.0.0.1", port))
    expect(a, b"again\n", [a])
    clock.move(d, 40)       # 40 seconds after it was heard of
    send(a, b"still there\n")
    assert p.hear() == b"still there"
    clock.move(d, 21)
    wait_for(lambda: not d.json("peers"))
    assert "disconnected (not heard of for a minute)" in d.stderr()


def test_of_two_peers_the_silent_one_is_forgotten(pty, daemon, peer, clock):
    silent, heard, a, port = peer(), peer(), pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") +
               section("udp", "air", listen=f"127.0.0.1:{port}"), env=clock.env)
    silent.say(b"one", ("127.0.0.1", port))
    expect(a, b"one\n", [a])
    clock.move(d, 40)
    heard.say(b"two", ("127.0.0.1", port))
    expect(a, b"two\n", [a])
    assert len(d.json("peers")) == 2
    clock.move(d, 30)
    wait_for(lambda: len(d.json("peers")) == 1)
    assert d.json("peers")[0]["address"] == heard.address
    clock.move(d, 31)
    wait_for(lambda: not d.json("peers"))


def test_frames_go_to_several_partners(pty, daemon, peer):
    a, partners = pty("a"), [peer() for _ in range(3)]
    first, second, third = (p.address for p in partners)
    d = daemon(serial("a", a, framing="line") +
               section("udp", "air", listen="127.0.0.1:0",
                       send_to=f"{first}, {second} {third}"))
    assert d.number("air/peers") == 3
    send(a, b"one\n")
    for p in partners:
        data, source = p.sock.recvfrom(100)
        assert data == b"one"
        p.say(b"from " + p.address.encode(), source)
    expect(a, b"".join(b"from " + p.address.encode() + b"\n" for p in partners), [a])
    assert d.number("air/peers") == 3


def full_house(pty, daemon, peer, clock):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") +
               section("udp", "air", listen=f"127.0.0.1:{port}"), env=clock.env)
    peers = [peer() for _ in range(16)]
    for p in peers:
        p.say(b"hello", ("127.0.0.1", port))
        expect(a, b"hello\n", [a])
    return a, d, peers, ("127.0.0.1", port)


def test_a_sender_without_a_place_is_heard_and_gets_nothing(pty, daemon, peer, clock):
    a, d, peers, to = full_house(pty, daemon, peer, clock)
    more = [peer() for _ in range(2)]
    for p in more:
        p.say(b"me too", to)
        expect(a, b"me too\n", [a])
    assert d.number("air/peers") == len(d.json("peers")) == 16
    assert d.number("air/refused") == 0
    assert f"{more[0].address} sends, but nothing is sent to it: there are 16 other senders " \
        "already" in d.stderr()
    send(a, b"news\n")
    for p in peers:
        assert p.hear() == b"news"
    assert d.number("air/tx_frames") == 16
    assert d.number("air/rx_frames") == 18
    for p in more:
        p.sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            p.hear()


def test_a_new_sender_takes_the_place_of_a_silent_one(pty, daemon, peer, clock):
    a, d, peers, to = full_house(pty, daemon, peer, clock)
    clock.move(d, 11)
    # The first one is the one that was silent longest, but for this.
    peers[0].say(b"still here", to)
    expect(a, b"still here\n", [a])
    new = peer()
    new.say(b"hello", to)
    expect(a, b"hello\n", [a])
    addresses = {row["address"] for row in d.json("peers")}
    assert addresses == {p.address for p in [peers[0], *peers[2:], new]}
    assert "disconnected (another sender takes its place)" in d.stderr()
    send(a, b"news\n")
    assert new.hear() == b"news"


def test_a_stranger_is_not_heard(pty, daemon, peer):
    address = own_address()
    if address is None or address.startswith("127."):
        pytest.skip("this machine has no address but loopback")
    a, port = pty("a"), free_port()
    stranger, friend = peer(address), peer()
    d = daemon(serial("a", a, framing="line") +
               section("udp", "air", listen=f"*:{port}",
                       allow="198.51.100.0/24"))
    stranger.say(b"psst", (address, port))
    friend.say(b"hello", ("127.0.0.1", port))
    expect(a, b"hello\n", [a])
    assert "it is not among those of 'allow'" in d.stderr()
    assert d.number("air/peers") == 1


def test_while_a_queue_is_full_datagrams_wait_in_the_kernel(pty, daemon, peer):
    a, port = pty("a"), free_port()
    p = peer()
    d = daemon(serial("a", a, framing="line", queue="2K") +
               section("udp", "air", listen=f"127.0.0.1:{port}") +
               route("r", from_="air", to="a"))
    a.reading = False
    sent = []

    def held():
        for _ in range(10):
            sent.append(b"%d " % len(sent) + b"x" * 500)
            p.say(sent[-1], ("127.0.0.1", port))
        return "room for a datagram from" in \
            d.tasks()["air.receive"]["label"]
    wait_for(held)
    a.reading = True
    expect(a, b"".join(text + b"\n" for text in sent), [a])
    assert d.dropped("a") == 0
