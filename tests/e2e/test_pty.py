"""A pty endpoint: a serial port that the daemon makes, for a program to open."""
import os
import signal
import stat
import time

import pytest
import serial as pyserial

from harness import (expect, fill, flush, pump, route, same, section, serial,
                     wait_for)


@pytest.fixture
def made(pty, daemon, directory):
    """A device 'a' and a pty endpoint 'p', both speaking lines."""
    a, link = pty("a"), directory / "made"
    d = daemon(serial("a", a, framing="line") +
               section("pty", "p", link=link, framing="line", mode="0640"))
    return d, a, link


def test_its_link_leads_to_a_tty_of_that_mode(made):
    d, _, link = made
    assert link.is_symlink()
    st = os.stat(link)
    assert stat.S_ISCHR(st.st_mode)
    assert st.st_mode & 0o777 == 0o640
    assert d.state("p") == "waiting"


def test_the_link_goes_with_the_daemon(made):
    d, _, link = made
    d.stop()
    assert not link.is_symlink()


def test_frames_wait_while_nobody_has_it_open(made, open_tty):
    d, a, link = made
    a.send(b"one\ntwo\n")
    flush([a])
    d.wait_number("p/queued_frames", 2)
    user = open_tty(link)
    expect(user, b"one\ntwo\n", [a])
    d.wait_state("p", "up")
    assert d.dropped("p") == 0


def test_beyond_its_queue_the_oldest_go(pty, daemon, directory, open_tty):
    a, link = pty("a"), directory / "made"
    d = daemon(serial("a", a, framing="line") +
               section("pty", "p", link=link, framing="line", queue="1K"))
    lines = [(b"%06d" % i).ljust(31, b"x") + b"\n" for i in range(400)]
    a.send(b"".join(lines))
    flush([a])
    d.wait_number("a/rx_frames", 400)
    assert d.number("p/queued_bytes") <= 1024
    d.balance("a", "p")
    user = open_tty(link)
    pump([user], lambda: user.received.endswith(lines[-1]))
    got = user.take()
    assert b"".join(lines).endswith(got) and len(got) >= 900
    assert d.dropped("p") == 400 - len(got) // 32


def test_it_is_opened_by_pyserial(made):
    d, a, link = made
    with pyserial.Serial(str(link), 9600, timeout=10) as port:
        port.write(b"from the program\n")
        expect(a, b"from the program\n")
        d.wait_state("p", "up")
        a.send(b"from the device\n")
        flush([a])
        assert port.readline() == b"from the device\n"


def test_it_is_closed_and_opened_again(made, open_tty):
    d, a, link = made
    for i in range(10):
        user = open_tty(link)
        user.send(b"hello %d\n" % i)
        expect(a, b"hello %d\n" % i, [user])
        a.send(b"reply %d\n" % i)
        expect(user, b"reply %d\n" % i, [a])
        user.close()
        d.wait_state("p", "waiting")
        a.send(b"later %d\n" % i)
        flush([a])
        d.wait_number("p/queued_frames", 1)
        user = open_tty(link)
        expect(user, b"later %d\n" % i, [a])
        user.close()
        d.wait_state("p", "waiting")
    assert os.path.exists(link)


def test_a_line_cut_off_by_a_close_is_not_glued_to_the_next(made, open_tty):
    d, a, link = made
    user = open_tty(link)
    user.send(b"half a l")
    flush([user])
    d.wait_number("p/rx_bytes", 8)
    user.close()
    d.wait_state("p", "waiting")
    user = open_tty(link)
    user.send(b"whole\n")
    expect(a, b"whole\n", [user])


def test_what_was_written_before_a_quick_close_arrives(made, open_tty):
    _, a, link = made
    for i in range(50):
        user = open_tty(link)
        user.send(b"quick %d\n" % i)
        flush([user])
        user.close()
        expect(a, b"quick %d\n" % i)


@pytest.fixture
def both_full(daemon, directory, open_tty):
    """Two ptys, each held back by the other, whose user reads nothing."""
    d = daemon(section("pty", "p", link=directory / "p", framing="line") +
               section("pty", "q", link=directory / "q", framing="line"))
    p, q = open_tty(directory / "p"), open_tty(directory / "q")
    d.wait_state("p", "up")
    d.wait_state("q", "up")
    for user in (p, q):
        user.reading = False
        user.outgoing += b"".join(b"%s%06d\n" % (user.name[-1:].encode(), i)
                                  for i in range(20_000))
    fill([p, q])
    assert d.queued("p") > 0 and d.queued("q") > 0
    return d, p, q


def test_two_that_held_each_other_back_and_went(both_full):
    d, p, q = both_full
    p.close()
    wait_for(lambda: d.tasks()["p.write"]["state"] == "idle",
             what="nothing more to be written to p")
    q.close()
    d.wait_state("p", "waiting")
    d.wait_state("q", "waiting")


def test_the_next_user_listens_while_the_last_ones_words_wait(
        both_full, open_tty, directory):
    d, p, q = both_full
    p.close()
    wait_for(lambda: d.tasks()["p.write"]["state"] == "idle",
             what="nothing more to be written to p")
    listener = open_tty(directory / "p")
    q.reading = True
    pump([listener, q], lambda: listener.received.endswith(b"019999\n"))
    q.take()
    q.send(b"still there?\n")
    pump([listener, q],
         lambda: listener.received.endswith(b"still there?\n"))
    listener.send(b"yes\n")
    pump([listener, q], lambda: q.received.endswith(b"yes\n"))


@pytest.fixture
def left_behind(daemon, directory, open_tty, connect):
    """
    The user of pty p has left; what it had sent to q, whose user does not read, is not
    read yet.  What c sends goes to p.
    """
    d = daemon(section("pty", "p", link=directory / "p", framing="line") +
               section("pty", "q", link=directory / "q", framing="line", queue="2K") +
               section("unix-server", "c", listen=directory / "c", framing="line") +
               route("there", from_="p", to="q") + route("back", from_="c", to="p"))
    p, q = open_tty(directory / "p"), open_tty(directory / "q")
    c = connect(directory / "c")
    for name in "pq":
        d.wait_state(name, "up")
    q.reading = False
    sent = b"".join(b"%06d\n" % i for i in range(20_000))
    p.outgoing += sent
    fill([p, q])
    assert p.outgoing
    sent = sent[:p.written]
    return d, p, q, c, sent


def left(d, p):
    p.close()
    wait_for(lambda: d.tasks()["p.open"]["state"] == "waiting",
             what="the daemon to wait for the next user of p")


def test_the_next_user_is_served_while_the_last_ones_data_waits(
        left_behind, open_tty, directory):
    d, p, q, c, sent = left_behind
    left(d, p)
    for i in range(3):
        user = open_tty(directory / "p")
        c.send(b"hello user %d\n" % i)
        expect(user, b"hello user %d\n" % i, [c])
        left(d, user)
    user = open_tty(directory / "p")
    user.send(b"\nthe next one\n")
    # What the first had sent is still there, and comes first.
    q.reading = True
    pump([q, user], lambda: q.received.endswith(b"the next one\n"))
    same(q.take(), sent + b"\nthe next one\n")
    c.send(b"at last\n")
    expect(user, b"at last\n", [c])


def test_a_user_that_leaves_while_it_is_read_holds_nobody_back(
        daemon, directory, open_tty, connect):
    d = daemon(section("pty", "p", link=directory / "p", framing="line", queue="2K",
                       stall_timeout="none") +
               section("pty", "q", link=directory / "q", framing="line", queue="6K",
                       stall_timeout="none") +
               section("unix-server", "c", listen=directory / "c", framing="line") +
               route("there", from_="p", to="q") + route("back", from_="c", to="p"))
    p, q = open_tty(directory / "p"), open_tty(directory / "q")
    c = connect(directory / "c")
    for name in "pq":
        d.wait_state(name, "up")
    # Its hang-up is watched for from its first pause on.
    d.control("pause p")
    d.control("resume p")
    q.reading = False
    while d.queued("q") == 0:
        before = d.number("p/rx_frames")
        p.send(b"x" * 999 + b"\n")
        flush([p])
        d.wait_number("p/rx_frames", before + 1)
    # Two reads of the daemon, and the user has left before the first.
    os.kill(d.pid, signal.SIGSTOP)
    try:
        p.send((b"y" * 99 + b"\n") * 80)
        p.close()
    finally:
        os.kill(d.pid, signal.SIGCONT)
    wait_for(lambda: d.tasks()["p.open"]["state"] == "waiting",
             what="the daemon to wait for the next user of p")
    for _ in range(100):
        c.send(b"z" * 99 + b"\n")
    flush([c])
    wait_for(lambda: d.number("c/rx_frames") == 100)
    q.reading = True
    pump([q], lambda: q.received.count(b"y" * 99) > 39)


def test_what_the_last_user_has_not_read_is_not_for_the_next(
        left_behind, open_tty, directory):
    d, p, q, c, _ = left_behind
    p.reading = False
    c.send(b"for the last user\n")
    flush([c])
    d.wait_number("p/tx_frames", 1)
    left(d, p)
    user = open_tty(directory / "p")
    c.send(b"for the next user\n")
    expect(user, b"for the next user\n", [c])


def test_a_frame_cut_off_by_a_close_is_not_continued_to_the_next_user(
        left_behind, open_tty, directory):
    d, p, q, c, _ = left_behind
    p.reading = False
    c.outgoing += b"".join((b"%06d" % i).ljust(99, b".") + b"\n"
                           for i in range(2000))
    fill([c])
    assert d.queued("p") > 0
    left(d, p)
    user = open_tty(directory / "p")
    pump([user, c], lambda: user.received.endswith(b"\n") and
         not c.outgoing and d.queued("p") == 0)
    lines = user.take().split(b"\n")
    assert lines.pop() == b""
    # After what may have been in the terminal's own buffers.
    assert all(len(line) == 99 for line in lines[1:]), lines[:200]


def test_eight_bits_pass_both_ways(pty, daemon, directory, open_tty):
    a, link = pty("a"), directory / "made"
    d = daemon(serial("a", a) + section("pty", "p", link=link))
    user = open_tty(link)
    d.wait_state("p", "up")
    every = bytes(range(256)) * 256
    user.send(every)
    expect(a, every, [user])
    a.send(every)
    expect(user, every, [a])


def test_an_unopened_pty_costs_no_time(made):
    d, _, _ = made
    before, start = d.cpu(), time.monotonic()
    pump([], lambda: time.monotonic() - start > 0.7)
    assert d.cpu() - before <= 0.1


def test_a_file_in_the_place_of_the_link_is_not_overwritten(
        pty, daemon, directory):
    a, link = pty("a"), directory / "precious"
    link.write_text("precious data")
    d = daemon(serial("a", a) + section("pty", "p", link=link),
               settled=False)
    d.wait_state("p", "lost")
    assert link.read_text() == "precious data"
    assert str(link) in d.stderr()


def test_a_stale_link_is_replaced(pty, daemon, directory, open_tty):
    a, link = pty("a"), directory / "made"
    os.symlink("/dev/pts/no-such", link)
    daemon(serial("a", a, framing="line") +
           section("pty", "p", link=link, framing="line"))
    user = open_tty(link)
    user.send(b"hello\n")
    expect(a, b"hello\n", [user])
