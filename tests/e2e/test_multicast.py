"""
Groups and broadcasts.  Each test runs in a network of its own, whose loopback interface
carries groups.
"""
import contextlib
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from harness import (Daemon, Pty, expect, flush, free_port, run_apart, section, serial,
                     wait_for)

GROUP, OTHER_GROUP, GROUP6 = "239.1.2.3", "239.1.2.4", "ff05::1234"
IP_RECVTTL = 12                         # Python does not know its name
NETWORK = ("ip link set lo up multicast on && ip route add 239.0.0.0/8 dev lo && "
           "ip link add net0 type veth peer name far0 && ip link set far0 up && "
           "ip addr add 10.9.0.1/24 brd + dev net0 && "
           "ip addr add fd09::1/64 dev net0 nodad && ip link set net0 up")


def udp_socket(address="", port=0, family=socket.AF_INET, shared=False):
    s = socket.socket(family, socket.SOCK_DGRAM)
    if shared:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    s.bind((address, port))
    s.settimeout(10)
    return s


def member(port, group=GROUP, interface="127.0.0.1"):
    """A program that has joined the group."""
    s = udp_socket(port=port, shared=True)
    s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                 socket.inet_aton(group) + socket.inet_aton(interface))
    return s


class Side:
    """A daemon between a serial device and datagrams."""

    def __init__(self, directory, name, settled=True, **keys):
        self.tty = Pty(directory / name)
        self.d = Daemon(directory, serial("a", self.tty, framing="line") +
                        section("udp", "air", reopen_min="20ms", reopen_max="50ms",
                                **{key.rstrip("_"): value for key, value in keys.items()}),
                        name=f"{name}d", settled=settled)

    def send(self, text):
        self.tty.send(text)
        flush([self.tty])

    def __enter__(self):
        return self

    def __exit__(self, kind, *rest):
        self.d.__exit__(kind, *rest)
        self.tty.close()


def joined(port, **keys):
    keys = {"listen": f"*:{port}", "multicast": GROUP, "allow": "10.0.0.0/8", **keys}
    return keys


def several_programs_receive(directory):
    port = free_port()
    with Side(directory, "a", **joined(port)) as a, Side(directory, "b", **joined(port)) as b, \
            member(port) as third, udp_socket() as sender:
        sender.sendto(b"hello", (GROUP, port))
        for side in (a, b):
            expect(side.tty, b"hello\n")
        assert third.recv(100) == b"hello"


def a_group_of_others_is_not_received(directory):
    port = free_port()
    with Side(directory, "a", **joined(port)) as a, member(port, OTHER_GROUP) as other, \
            udp_socket() as sender:
        sender.sendto(b"theirs", (OTHER_GROUP, port))
        assert other.recv(100) == b"theirs"
        sender.sendto(b"ours", (GROUP, port))
        expect(a.tty, b"ours\n")


def several_groups_are_joined(directory):
    port = free_port()
    with Side(directory, "a", **joined(port, multicast=f"{GROUP}, {OTHER_GROUP}")) as a, \
            udp_socket() as sender:
        sender.sendto(b"one", (GROUP, port))
        sender.sendto(b"two", (OTHER_GROUP, port))
        expect(a.tty, b"one\ntwo\n")


def all_members_talk_to_each_other(directory):
    """Each datagram is received once by all others, and not by its sender."""
    port = free_port()
    keys = joined(port, send_to=f"{GROUP}:{port}")
    with Side(directory, "a", **keys) as a, Side(directory, "b", **keys) as b, \
            member(port) as third:
        for n in range(3):
            a.send(b"from a %d\n" % n)
            expect(b.tty, b"from a %d\n" % n)
            b.send(b"from b %d\n" % n)
            expect(a.tty, b"from b %d\n" % n)
            assert {third.recv(100), third.recv(100)} == {b"from a %d" % n, b"from b %d" % n}
        for side in (a, b):
            side.d.wait_number("air/rx_frames", 3)
            assert side.d.number("air/tx_frames") == 3
            assert side.d.number("air/peers") == 1
            assert side.d.number("air/refused") == 0
        third.settimeout(0)
        with pytest.raises(BlockingIOError):
            third.recv(100)


def an_answer_to_a_group_reaches_the_program_that_asked(directory):
    port = free_port()
    keys = joined(port, send_to=f"{GROUP}:{port}")
    with Side(directory, "a", **keys) as a, Side(directory, "b", **joined(port)), \
            member(port) as third:
        a.send(b"who is there?\n")
        question, source = third.recvfrom(100)
        assert question == b"who is there?"
        third.sendto(b"me", source)
        expect(a.tty, b"me\n")


def how_datagrams_are_sent_to_a_group(directory):
    port = free_port()
    # What is sent by lo is received in any case.
    keys = {"send_to": f"{GROUP}:{port}", "interface": "net0"}
    with member(port, interface="10.9.0.1") as m:
        m.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
        m.settimeout(10)
        with Side(directory, "a", ttl=7, **keys) as a:
            a.send(b"far\n")
            data, ancillary, _, _ = m.recvmsg(100, 100)
            assert data == b"far"
            assert struct.unpack("@i", ancillary[0][2]) == (7,)
        with Side(directory, "b", loopback="no", **keys) as b:
            b.send(b"not here\n")
            b.d.wait_number("air/tx_frames", 1)
        with Side(directory, "c", **keys) as c:
            c.send(b"near\n")
            data, ancillary, _, _ = m.recvmsg(100, 100)
            assert data == b"near"
            assert struct.unpack("@i", ancillary[0][2]) == (1,)


def the_interface_is_that_of_the_section(directory):
    port = free_port()
    for interface in ("net0", "10.9.0.1"):
        with member(port, interface="10.9.0.1") as m, \
                Side(directory, "a", **joined(port, send_to=f"{GROUP}:{port}",
                                              interface=interface)) as a, \
                udp_socket() as sender:
            a.send(b"hello\n")
            data, source = m.recvfrom(100)
            assert (data, source[0]) == (b"hello", "10.9.0.1")
            sender.sendto(b"by lo", (GROUP, port))
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF,
                              socket.inet_aton("10.9.0.1"))
            sender.sendto(b"by net0", (GROUP, port))
            expect(a.tty, b"by net0\n")


def an_interface_that_is_not_there_is_waited_for(directory):
    port = free_port()
    for name, keys in (("a", joined(port)), ("b", {"send_to": f"{GROUP}:{port}"})):
        with Side(directory, name, settled=False, interface="net9", **keys) as side:
            side.d.wait_state("air", "lost")
            wait_for(lambda: "there is no interface 'net9'" in side.d.stderr())
            subprocess.run("ip link add net9 type veth peer name far9",
                           shell=True, check=True)
            side.d.wait_state("air", "up")
        subprocess.run("ip link del net9", shell=True, check=True)
    with Side(directory, "c", settled=False, **joined(port, interface="10.8.0.1")) as side:
        wait_for(lambda: "there is no interface '10.8.0.1'" in side.d.stderr())


def a_group_without_a_route_is_told(directory):
    subprocess.run("ip route del 239.0.0.0/8", shell=True, check=True)
    with Side(directory, "a", settled=False, **joined(free_port())) as side:
        wait_for(lambda: f"cannot join {GROUP}: no interface has a route to it; 'interface' "
                 "selects one" in side.d.stderr())


def groups_of_ipv6(directory):
    port = free_port()
    keys = {"listen": f"[::]:{port}", "multicast": f"{GROUP6} {GROUP}", "interface": "net0",
            "allow": "10.0.0.0/8 fd09::/64", "send_to": f"[{GROUP6}]:{port} {GROUP}:{port}"}
    net0 = struct.pack("@I", socket.if_nametoindex("net0"))
    with Side(directory, "a", **keys) as a, udp_socket("::", port, socket.AF_INET6, True) as m, \
            udp_socket("::", 0, socket.AF_INET6) as sender, udp_socket() as sender4:
        m.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP,
                     socket.inet_pton(socket.AF_INET6, GROUP6) + net0)
        m.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                     socket.inet_aton(GROUP) + socket.inet_aton("10.9.0.1"))
        a.send(b"hello\n")
        senders = {}
        for _ in range(2):
            data, source = m.recvfrom(100)
            assert data == b"hello"
            senders[source[0].startswith("::ffff:")] = source
        assert len(senders) == 2
        sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, net0)
        sender.sendto(b"six", (GROUP6, port))
        expect(a.tty, b"six\n")
        sender4.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF,
                           socket.inet_aton("10.9.0.1"))
        sender4.sendto(b"four", (GROUP, port))
        expect(a.tty, b"four\n")
        assert a.d.number("air/rx_frames") == 2


def a_broadcast_is_not_received_by_its_sender(directory):
    """Those who have answered get it once."""
    port, other = free_port(), free_port()
    for target in ("10.9.0.255", "255.255.255.255"):
        subprocess.run("ip route replace 255.255.255.255 dev net0", shell=True, check=True)
        with Side(directory, "a", listen=f"*:{port}", allow="10.0.0.0/8",
                  send_to=f"{target}:{other} {target}:{port}") as a, \
                udp_socket(port=other) as station:
            a.send(b"one\n")
            data, source = station.recvfrom(100)
            assert (data, source) == (b"one", ("10.9.0.1", port))
            station.sendto(b"here", source)
            expect(a.tty, b"here\n")
            a.send(b"two\n")
            assert station.recv(100) == b"two"
            a.send(b"three\n")
            assert station.recv(100) == b"three"
            assert a.d.number("air/rx_frames") == 1
            assert a.d.number("air/peers") == 2
            assert a.d.number("air/refused") == 0


def sections_share_a_port(directory):
    port = free_port()
    with contextlib.ExitStack() as stack:
        tty = Pty(directory / "a")
        stack.callback(tty.close)
        d = stack.enter_context(Daemon(
            directory, serial("a", tty, framing="line") +
            section("udp", "one", **joined(port)) +
            section("udp", "two", **joined(port, multicast=OTHER_GROUP))))
        sender = stack.enter_context(udp_socket())
        sender.sendto(b"first", (GROUP, port))
        expect(tty, b"first\n")
        sender.sendto(b"second", (OTHER_GROUP, port))
        expect(tty, b"second\n")
        assert d.number("one/rx_frames") == d.number("two/rx_frames") == 1


CASES = {f.__name__: f for f in (
    several_programs_receive, a_group_of_others_is_not_received, several_groups_are_joined,
    all_members_talk_to_each_other, an_answer_to_a_group_reaches_the_program_that_asked,
    how_datagrams_are_sent_to_a_group, the_interface_is_that_of_the_section,
    an_interface_that_is_not_there_is_waited_for, a_group_without_a_route_is_told,
    groups_of_ipv6, a_broadcast_is_not_received_by_its_sender, sections_share_a_port)}


@pytest.mark.parametrize("case", CASES)
def test_groups_and_broadcasts(directory, case):
    (directory / "case").write_text(case)
    run_apart(NETWORK, __file__, directory, "interfaces")


if __name__ == "__main__":
    where = Path(sys.argv[1])
    CASES[(where / "case").read_text()](where)
