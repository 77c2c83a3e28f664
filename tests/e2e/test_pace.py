"""pace and frame_gap: output that is slower than the line."""
import socket

import pytest

from harness import (expect, free_port, pump, run, section, serial, tcp_server,
                     wait_for)
from test_handover import restart

LINE = b"0123456789" * 9 + b"012345678\n"       # 100 bytes


@pytest.fixture
def slow(pty, daemon, clock):
    def start(**keys):
        a, b = pty("a"), pty("b")
        d = daemon(serial("a", a, framing="line", silence_warning="none") +
                   serial("b", b, framing="line", silence_warning="none", **keys),
                   env=clock.env)
        return a, b, d
    return start


def received(stream):
    """All that the daemon has written to it."""
    while stream.turn(1):
        pass
    return len(stream.received)


def test_bytes_are_written_one_by_one(slow, clock):
    a, b, d = slow(pace="1/s")
    a.send(3 * LINE)
    wait_for(lambda: a.turn(4) or d.number("a/rx_frames") == 3)
    wait_for(lambda: received(b) > 0)
    assert received(b) < 50
    assert d.number("b/queued_frames") == 3
    assert d.get("b/pace") == "1/s"
    assert d.tasks()["b.timer"]["label"] == \
        "the time of the next bytes to b, by its pace"
    before = received(b)
    clock.move(d, 1)
    wait_for(lambda: received(b) > before)
    # A time in which nothing could be written is not made up for.
    clock.move(d, 1000)
    assert received(b) < 50
    wait_for(lambda: clock.move(d, 1) or received(b) == 300, 60)
    assert b.take() == 3 * LINE
    assert d.number("b/tx_frames") == 3 and d.number("b/dropped") == 0


def test_the_pace_of_a_real_clock(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line") +
               serial("b", b, framing="line", pace="20K/s"))
    text = LINE * 100                           # half a second
    expect(b, text, [a.send(text)])
    up = float(d.get("b/up"))
    # No faster than that; how much slower depends on the machine.
    assert up > len(text) / (20 * 1024) - 0.02
    # An idle time is not made up for.
    assert d.number("b/tx_bytes") == len(text)


def test_a_time_between_frames(slow, clock):
    a, b, d = slow(frame_gap="1s")
    a.send(3 * LINE)
    expect(b, LINE, [a])
    wait_for(lambda: d.number("b/queued_frames") == 2)
    assert received(b) == 0
    clock.move(d, 1)
    expect(b, LINE)
    assert received(b) == 0
    clock.move(d, 1)
    expect(b, LINE)


def test_a_gap_that_has_begun_follows_a_change(slow, clock):
    a, b, d = slow(frame_gap="1h")
    a.send(4 * LINE)
    expect(b, LINE, [a])
    wait_for(lambda: d.number("b/queued_frames") == 3)
    clock.move(d, 2)
    d.control("set b/frame_gap 3s")
    assert received(b) == 0
    clock.move(d, 1)
    expect(b, LINE)
    # A longer one, too: counted from the frame before.
    clock.move(d, 2)
    d.control("set b/frame_gap 1m")
    clock.move(d, 10)
    assert received(b) == 0
    clock.move(d, 48)
    expect(b, LINE)
    # And by a reload.
    clock.move(d, 5)
    assert received(b) == 0
    d.reload(d.file.read_text().split("[control unix]\n")[1].split("\n", 1)[1]
             .replace("frame_gap = 1h\n", ""))
    expect(b, LINE)


@pytest.mark.parametrize("keys", [{"frame_gap": "30s"}, {"pace": "1/s"}])
def test_a_slow_output_is_not_stalled(slow, clock, keys):
    a, b, d = slow(**keys, stall_timeout="2s" if "frame_gap" in keys else "500ms",
                   queue="300")
    a.send(6 * LINE)
    wait_for(lambda: a.turn(4) or d.tasks()["a.read"]["state"] == "paused")
    # It takes all that is written; a whole line is written in 100 s.
    wait_for(lambda: clock.move(d, 1) or received(b) == 600, 60)
    assert d.number("b/stalls") == 0 and d.number("b/dropped") == 0
    assert b.take() == 6 * LINE


def test_a_slow_output_that_is_not_taken_is_stalled(slow, clock):
    a, b, d = slow(pace="1M/s", stall_timeout="2s", queue="300")
    b.reading = False
    wait_for(lambda: a.send(LINE * 40) or a.turn(4) or clock.move(d, 1) or
             d.number("b/stalls") == 1, 60)


def test_it_can_be_changed_while_it_is_written(slow, clock):
    a, b, d = slow()
    d.control("set b/pace 1/s")
    a.send(LINE)
    wait_for(lambda: a.turn(4) or received(b) == 1)
    d.control("set b/pace none")
    expect(b, LINE)
    d.control("set b/pace 1/s")
    a.send(LINE + LINE)
    wait_for(lambda: a.turn(4) or d.number("b/queued_frames") == 2)
    d.control("pause b")
    d.control("set b/pace 1M/s")
    d.control("resume b")
    wait_for(lambda: clock.move(d, 1) or received(b) == 200)
    assert b.take() == LINE + LINE


def test_a_frame_is_completed_by_the_next_process(slow, clock):
    a, b, d = slow(pace="1/s")
    a.send(LINE + LINE)
    wait_for(lambda: a.turn(4) or d.number("b/queued_frames") == 2 and
             received(b) > 0)
    restart(d, [b])
    clock.move(d, 1)
    assert received(b) < 100
    d.control("set b/pace 1M/s")
    wait_for(lambda: clock.move(d, 1) or received(b) == 200)
    assert b.take() == LINE + LINE
    assert d.number("b/tx_frames") == 2


def test_the_device_is_opened_again_in_the_middle_of_a_frame(slow, clock):
    a, b, d = slow(pace="1/s")
    a.send(LINE + LINE)
    wait_for(lambda: a.turn(4) or d.number("b/queued_frames") == 2 and
             received(b) > 0)
    d.control("reopen b")
    wait_for(lambda: d.number("b/opens") == 2)
    clock.move(d, 1)
    assert received(b) < 100
    d.control("set b/pace 1M/s")
    wait_for(lambda: clock.move(d, 1) or received(b) == 200)
    assert b.take() == LINE + LINE


def test_what_is_written_at_the_opening_has_the_pace(pty, daemon, clock):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line") +
               section("serial", "b", device=b.link, framing="line", pace="1/s",
                       reopen_min="20ms", on_open="hello\\n"), env=clock.env)
    a.send(LINE)
    wait_for(lambda: a.turn(4) or d.number("b/queued_frames") == 1)
    wait_for(lambda: received(b) > 0)
    assert received(b) < 50
    d.control("set b/pace 1M/s")
    wait_for(lambda: clock.move(d, 1) or received(b) == 106)
    assert b.take() == b"hello\n" + LINE


def test_clients_behind_a_filter_have_the_pace_each(pty, daemon, connect):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") +
               tcp_server("lan", port, framing="line", protocol="telnet", pace="20K/s"))
    one, two = connect(port), connect(port)
    wait_for(lambda: len(d.json("peers")) == 2)
    a.send(LINE * 20)
    pump([a, one, two], lambda: one.received.count(b"0123456789") == 180 and
         two.received.count(b"0123456789") == 180)
    assert d.number("lan/dropped") == 0


def test_datagrams_stay_whole(pty, daemon, clock):
    a = pty("a")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        s.settimeout(20)
        d = daemon(serial("a", a, framing="line") +
                   section("udp", "u", listen="127.0.0.1:0",
                           send_to=f"127.0.0.1:{s.getsockname()[1]}", framing="line",
                           pace="100/s"), env=clock.env)
        a.send(LINE * 3)
        wait_for(lambda: a.turn(4) or d.number("a/rx_frames") == 3)
        assert s.recv(2000) == LINE
        assert d.number("u/queued_frames") == 2
        clock.move(d, 1)
        assert s.recv(2000) == LINE
        clock.move(d, 1)
        assert s.recv(2000) == LINE


@pytest.mark.parametrize("pace", ["960", "0/s", "960/m", "/s", "fast", "1G/s2"])
def test_faults(directory, pace):
    file = directory / "x.conf"
    file.write_text(section("serial", "a", device="/dev/a", pace=pace) +
                    section("serial", "b", device="/dev/b"))
    done = run("-c", file, "--check")
    assert done.returncode == 2
    assert f"{file}:3: key 'pace' in [serial a]: '{pace}' is not a pace; write bytes in a" \
        " second, such as 960/s or 4K/s, or none" in done.stderr
