"""What the daemon makes of a serial device, and how it shares it with others."""
import os
import re
import termios

import pytest

from harness import expect, flush, serial, wait_for

IFLAG, OFLAG, CFLAG, LFLAG, CC = 0, 1, 2, 3, 6


def opened(pty, daemon, **keys):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, **keys) + serial("b", b))
    return d, a, b


def test_the_line_is_raw(pty, daemon):
    _, a, _ = opened(pty, daemon)
    t = a.termios()
    assert t[LFLAG] & (termios.ICANON | termios.ECHO | termios.ISIG |
                       termios.IEXTEN | termios.ECHONL) == 0
    assert t[OFLAG] & termios.OPOST == 0
    assert t[IFLAG] & (termios.IXON | termios.IXOFF | termios.IXANY |
                       termios.ICRNL | termios.INLCR | termios.IGNCR |
                       termios.ISTRIP | termios.BRKINT) == 0
    assert t[CFLAG] & termios.CSIZE == termios.CS8
    assert t[CFLAG] & termios.CREAD and t[CFLAG] & termios.CLOCAL
    assert t[CFLAG] & (termios.PARENB | termios.CSTOPB) == 0


def test_a_mode_that_a_pseudo_terminal_does_not_have_is_said(pty, daemon):
    d, a, _ = opened(pty, daemon, mode="7E1")
    assert "a: the driver does not do mode 7E1 (bits, parity, stop): the line runs at 8N1" \
        in d.stderr()
    # The address is what the line does; the key is that of the section.
    assert d.endpoints()["a"]["address"].endswith(" 9600 8N1")
    assert d.get("a/mode") == "7E1"
    d.control("set a/baud 57600")
    assert a.speed() == (57600, 57600)
    assert d.endpoints()["a"]["address"].endswith(" 57600 8N1")


def test_a_change_to_such_a_mode_is_said(pty, daemon):
    d, a, _ = opened(pty, daemon)
    assert "does not do mode" not in d.stderr()
    d.control("set a/mode 7E1")
    assert "a: the driver does not do mode" in d.stderr()
    assert d.endpoints()["a"]["address"].endswith(" 9600 8N1")
    assert d.get("a/mode") == "7E1"
    assert d.state("a") == "up" and not d.endpoints()["a"].get("error")


def test_a_read_waits_for_a_byte(pty, daemon):
    _, a, _ = opened(pty, daemon)
    cc = a.termios()[CC]
    vmin, vtime = (c if isinstance(c, int) else c[0]
                   for c in (cc[termios.VMIN], cc[termios.VTIME]))
    assert (vmin, vtime) == (1, 0)


@pytest.mark.parametrize("baud", [1200, 9600, 115200, 230400, 74880, 250000,
                                  12345])
def test_the_speed_is_set_odd_ones_too(pty, daemon, baud):
    d, a, _ = opened(pty, daemon, baud=baud, flow="rtscts")
    assert a.speed() == (baud, baud)
    assert d.get("a/baud") == str(baud)


def test_closing_does_not_hang_up_the_line(pty, daemon):
    _, a, _ = opened(pty, daemon)
    assert a.termios()[CFLAG] & termios.HUPCL == 0


def test_closing_hangs_up_where_it_is_wanted(pty, daemon):
    _, a, _ = opened(pty, daemon, hangup_on_close="yes")
    assert a.termios()[CFLAG] & termios.HUPCL


def test_rtscts_reaches_the_right_word_of_the_settings(pty, daemon):
    _, a, b = opened(pty, daemon, flow="rtscts")
    assert a.termios()[CFLAG] & termios.CRTSCTS
    assert a.termios()[IFLAG] & (termios.IXON | termios.IXOFF) == 0
    assert b.termios()[CFLAG] & termios.CRTSCTS == 0


def test_xonxoff_is_set_without_ixany(pty, daemon):
    _, a, _ = opened(pty, daemon, flow="xonxoff")
    assert a.termios()[IFLAG] & termios.IXON
    assert a.termios()[IFLAG] & termios.IXOFF
    assert a.termios()[IFLAG] & termios.IXANY == 0
    assert a.termios()[CFLAG] & termios.CRTSCTS == 0


def test_what_another_program_left_on_the_line_is_undone(pty, daemon):
    a, b = pty("a"), pty("b")
    t = a.termios()
    t[IFLAG] |= termios.IXON | termios.IXANY | termios.ICRNL | termios.IXOFF
    t[CFLAG] |= termios.CRTSCTS | termios.HUPCL
    t[LFLAG] |= termios.ECHO | termios.ICANON
    termios.tcsetattr(a.master, termios.TCSANOW, t)
    daemon(serial("a", a) + serial("b", b))
    bytes_that_would_vanish = b"\x11\x13\r\n\x03\x04\x1a\x7f"
    a.send(bytes_that_would_vanish)
    expect(b, bytes_that_would_vanish, [a])
    b.send(bytes_that_would_vanish)
    expect(a, bytes_that_would_vanish, [b])
    assert a.termios()[CFLAG] & termios.CRTSCTS == 0


def test_the_settings_are_made_again_after_a_replug(pty, daemon):
    d, a, _ = opened(pty, daemon, baud=74880, flow="rtscts")
    for _ in range(3):
        a.unplug()
        d.wait_state("a", "lost")
        a.plug()
        d.wait_state("a", "up")
        assert a.speed() == (74880, 74880)
        assert a.termios()[CFLAG] & termios.CRTSCTS
        assert a.termios()[LFLAG] & termios.ICANON == 0


def test_what_came_while_the_line_was_not_raw_is_thrown_away(pty, daemon):
    a, b = pty("a"), pty("b")
    t = a.termios()
    t[IFLAG] |= termios.ICRNL
    t[LFLAG] |= termios.ICANON | termios.ECHO
    termios.tcsetattr(a.master, termios.TCSANOW, t)
    a.send(b"left over from yesterday\n")
    flush([a])
    daemon(serial("a", a, framing="line") + serial("b", b, framing="line"))
    a.send(b"today\n")
    expect(b, b"today\n", [a])


def test_a_second_daemon_is_told_who_holds_the_device(pty, daemon):
    a, b, c = pty("a"), pty("b"), pty("c")
    first = daemon(serial("a", a, framing="line") +
                   serial("b", b, framing="line"))
    second = daemon(serial("a", a, framing="line") +
                    serial("c", c, framing="line"), settled=False)
    second.wait_state("c", "up")
    second.wait_state("a", "lost")
    text = second.stderr()
    assert str(first.pid) in text, text
    assert "ttybridged" in text
    assert re.search(r"\ba: .*lost", text)
    # The first does not notice, and the second takes it when it is free.
    a.send(b"to the first\n")
    expect(b, b"to the first\n", [a])
    assert first.opens("a") == {"a": 1}
    first.stop()
    second.wait_state("a", "up")
    a.send(b"to the second\n")
    expect(c, b"to the second\n", [a])


def test_a_device_that_stays_busy_is_not_logged_at_each_try(pty, daemon):
    a, b = pty("a"), pty("b")
    daemon(serial("a", a) + serial("b", b))
    second = daemon(serial("a", a, reopen_min="5ms", reopen_max="5ms"),
                    settled=False)
    second.wait_state("a", "lost")
    wait_for(lambda: int(second.tasks()["a.reopen"]["runs"]) > 60)
    assert len(second.stderr().splitlines()) < 30


def test_the_same_device_twice_in_one_file_is_refused_or_busy(
        pty, daemon, directory):
    a, b = pty("a"), pty("b")
    os.symlink(a.slave_name, directory / "other")
    d = daemon(serial("a", a, framing="line") +
               serial("again", directory / "other") +
               serial("b", b, framing="line"), settled=False)
    d.wait_state("b", "up")
    d.wait_state("a", "up")
    d.wait_state("again", "lost")
    a.send(b"once\n")
    expect(b, b"once\n", [a])


@pytest.mark.parametrize("what", ["file", "directory", "null", "dangling"])
def test_a_path_that_is_no_tty_is_said_and_tried_again(
        pty, daemon, directory, what):
    a, path = pty("a"), directory / "wrong"
    if what == "file":
        path.write_text("not a tty")
    elif what == "directory":
        path.mkdir()
    elif what == "null":
        path.symlink_to("/dev/null")
    else:
        path.symlink_to(directory / "nowhere")
    d = daemon(serial("a", a) + serial("b", path), settled=False)
    d.wait_state("a", "up")
    d.wait_state("b", "lost")
    said = "not there: .+" if what == "dangling" else r".*lost \(.+\)"
    assert re.search(rf"\bb: {said}", d.stderr())
    assert d.get("b/error")
    if what == "file":
        assert path.read_text() == "not a tty"


def test_the_log_tells_of_the_loss_and_of_the_return(pty, daemon):
    d, a, _ = opened(pty, daemon)
    a.unplug()
    d.wait_state("a", "lost")
    a.plug()
    d.wait_state("a", "up")
    lines = [line for line in d.stderr().splitlines() if "a: " in line]
    states = [re.search(r"-> (\w+)", line) for line in lines]
    assert [s[1] for s in states if s] == ["up", "lost", "up"], lines
