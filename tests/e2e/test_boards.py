"""
Real firmware at both ends: Arduino sketches on emulated boards (tests/boards), joined by
the daemon.  What was lost is asked of the boards themselves.
"""
import os
import random
import re
import signal
import subprocess

import pytest
import serial as pyserial

from boards import BOARDS
from ctl import CTL
from harness import (BINARY, ROOT, SANITIZERS, Client, expect, free_port, pump,
                     route, serial, tcp_server, wait_for)

PAIRS = 200
UNO = 16_000_000


class Ear:
    """Hears what Ping says, through the daemon: a TCP client that takes its lines."""

    def __init__(self, port):
        self.client = Client(("127.0.0.1", port))
        self.client.name = "ear"

    def pings(self):
        """(number, answers that the board had got by then, odd ones) of each."""
        found = [re.fullmatch(rb"ping (\d+) got (\d+)(?: odd (\d+))?\r?", line)
                 for line in self.client.lines()]
        return [tuple(int(n or 0) for n in m.groups()) for m in found if m]

    def wait(self, until, timeout=None):
        """Listens until the condition holds of the last ping; returns that one."""
        def last():
            return (self.pings() or [(0, 0, 0)])[-1]
        pump([self.client], lambda: until(*last()), timeout, "enough pings")
        return last()


def ping_pong(daemon, ping, pong, framing="line", baud=9600):
    """A daemon between the two, and an ear."""
    port = free_port()
    d = daemon(serial("ping", ping, baud=baud, framing="line") +
               serial("pong", pong, baud=115200, framing=framing) +
               tcp_server("lan", port, framing="line") +
               route("both", between="ping pong") +
               route("ear", from_="ping", to="lan"))
    return d, Ear(port)


# --- the boards alone --------------------------------------------------------

def test_a_board_understands_only_its_own_speed(board):
    echo = board("Echo", reset=False)
    with pyserial.Serial(str(echo.link), 115200, timeout=20) as port:
        port.write(b"hello")
        assert port.read(5) == b"hello"
        port.baudrate = 57600
        port.write(b"hello")
        garbled = port.read(5)
        assert len(garbled) == 5 and garbled != b"hello"
        # A Uno is 2.1 % off at 115200 itself; that is near enough.
        port.baudrate = 117000
        port.write(b"hello")
        assert port.read(5) == b"hello"
    counts = echo.stop()
    assert counts["garbled"] == 10
    assert counts["baud"] == UNO // 8 // 17
    assert counts["sent"] == counts["received"] == 15


def test_a_board_starts_anew_when_its_port_is_opened(board):
    flood = board("Flood")
    for _ in range(2):
        with pyserial.Serial(str(flood.link), 115200, timeout=20) as port:
            port.read_until()
            first = int(port.read_until().split()[1])
            assert first < 300
            port.read_until(b"flood 300\r\n")
        wait_for(lambda: flood.said()[-1] == "closed")
    assert flood.stop()["resets"] == 2


# --- two boards --------------------------------------------------------------

@pytest.mark.parametrize("sketch, framing", [
    ("Pong", "line"), ("PongCobs", "cobs")])
def test_two_boards_exchange_200_pairs_and_lose_none(
        board, daemon, sketch, framing):
    ping, pong = board("Ping"), board(sketch)
    d, ear = ping_pong(daemon, ping, pong, framing)
    count, got, odd = ear.wait(lambda count, *_: count > PAIRS, timeout=90)
    assert (got, odd) == (count - 1, 0)
    numbers = [n for n, _, _ in ear.pings()]
    assert numbers == list(range(numbers[0], count + 1))
    for name in "ping", "pong":
        assert d.dropped(name) == 0
        assert d.number(f"{name}/errors") == 0
        assert d.number(f"{name}/rx_frames") >= PAIRS
        assert d.number(f"{name}/tx_frames") >= PAIRS
    d.balance("ping", "pong")
    d.balance("pong", "ping")
    # The boards first: what they say once nobody reads them counts as lost.
    for counts in ping.stop(), pong.stop():
        assert counts["lost"] == 0
        # What is sent between the opening of the port and the setting of its speed.
        assert counts["garbled"] <= len("ping 1\n")
        assert counts["resets"] == 1


def test_a_board_that_is_unplugged_and_comes_back_goes_on_answering(
        board, daemon):
    ping, pong = board("Ping"), board("Pong")
    d, ear = ping_pong(daemon, ping, pong)
    ear.wait(lambda _, got, __: got >= 10)
    pong.unplug()
    wait_for(lambda: d.state("pong") != "up", what="pong to be lost")
    # Nobody answers: the board itself must have missed something.
    _, got, _ = ear.wait(lambda count, got, _: got < count - 1)
    assert d.state("ping") == "up"
    pong.plug()
    d.wait_state("pong", "up")
    ear.wait(lambda _, now, __: now >= got + 10)
    assert d.opens("ping", "pong") == {"ping": 1, "pong": 2}
    assert ping.stop()["resets"] == 1
    assert pong.stop()["resets"] == 2


def test_boards_talk_once_a_wrong_baud_rate_is_corrected(board, daemon):
    ping, pong = board("Ping"), board("Pong")
    d, ear = ping_pong(daemon, ping, pong, baud=4800)
    # It says hello again and again, and what comes is not that.
    wait_for(lambda: d.number("ping/rx_bytes") > 30, what="bytes of ping")
    assert ear.pings() == []
    d.control("set ping/baud 9600")
    count, got, odd = ear.wait(lambda _, got, __: got >= 10)
    assert (got, odd) == (count - 1, 0)
    assert ping.stop()["garbled"] > 0


# --- one board ---------------------------------------------------------------

def test_bytes_of_every_value_come_back_from_a_board(board, daemon):
    echo, port = board("Echo", reset=False), free_port()
    d = daemon(serial("echo", echo, baud=115200) + tcp_server("lan", port))
    client = Client(("127.0.0.1", port))
    wait_for(lambda: len(d.json("peers")) == 1, what="the peer")
    data = random.Random(4).randbytes(8192)
    client.send(data)
    expect(client, data)
    assert echo.stop()["lost"] == 0


def test_not_a_line_of_a_flood_is_missing(board, daemon):
    flood, port = board("Flood"), free_port()
    daemon(serial("flood", flood, baud=115200, framing="line") +
           tcp_server("lan", port, framing="line"))
    client = Client(("127.0.0.1", port))
    pump([client], lambda: len(client.lines()) >= 2000)
    numbers = [int(line.split()[1]) for line in client.lines()]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert flood.stop()["lost"] == 0


@pytest.mark.parametrize("hangup, resets", [("no", 1), ("yes", 2)])
def test_a_restart_of_the_daemon_resets_a_board_only_if_it_hangs_up(
        board, daemon, hangup, resets):
    flood, port = board("Flood"), free_port()
    conf = (serial("flood", flood, baud=115200, framing="line",
                   hangup_on_close=hangup) +
            tcp_server("lan", port, framing="line"))
    for _ in range(2):
        d = daemon(conf)
        d.wait_state("flood", "up")
        wait_for(lambda: d.number("flood/rx_frames") > 10, what="lines")
        d.stop()
        wait_for(lambda: flood.said()[-1] == "closed")
    assert flood.stop()["resets"] == resets


# --- the demonstration -------------------------------------------------------

def demonstrate(directory, seconds, port):
    return subprocess.Popen(
        [ROOT / "tests/demo.sh", BINARY, BOARDS], stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
        env={**os.environ, **SANITIZERS, "DEMO_SECONDS": str(seconds),
             "DEMO_PORT": str(port), "TMPDIR": str(directory)})


def test_the_demo_loses_nothing_and_leaves_nothing_behind(directory, terminal):
    port = free_port()
    demo = demonstrate(directory, 4, port)
    shown = demo.communicate(timeout=90)[0]
    assert demo.returncode == 0, shown
    assert re.search(r"^ *lost: 0$", shown, re.M), shown
    assert "AWAITING" in shown
    # A line of one board, and the COBS frame that is made of it.
    line = re.search(r"ping +received((?: [0-9a-f]{2})+) 0d 0a\n", shown)[1]
    assert re.search(rf"pong +sent +[0-9a-f]{{2}}{line} 00\n", shown), shown
    assert list(directory.iterdir()) == []
    # What it ends with works as it is printed.
    ports, pair, again, *clients = re.findall(r"(?m)^  (\S.*\S) +#", shown.split("Now try:")[1])
    assert subprocess.run(ports.split(), stdout=subprocess.PIPE, timeout=60).returncode == 0
    assert pair.split() == [BINARY, "pty:/tmp/left", "pty:/tmp/right"]
    make, target, variable = again.split()
    assert (make, target, variable.split("=")[0]) == ("make", "demo", "DEMO_SECONDS")
    demo = demonstrate(directory, variable.split("=")[1], port)
    try:
        while "Messages" not in demo.stdout.readline():
            pass
        for client, text in zip(clients, ("pong", "[sent to ping]")):
            program, *words = client.split()
            assert os.path.samefile(program, CTL)
            terminal(*words).shows(text)
    finally:
        demo.send_signal(signal.SIGINT)
        shown = demo.communicate(timeout=90)[0]
    assert demo.returncode == 0 and "lost: 0" in shown, shown
    assert list(directory.iterdir()) == []
