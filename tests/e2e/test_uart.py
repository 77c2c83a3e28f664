"""
Serial ports as the hardware has them: modem lines, RS-485, breaks, what their drivers
count, output that does not leave.

tests/fault/uart.c, preloaded into the daemon, makes pseudo-terminals look like that.
"""
import re
import signal

import pytest

from harness import ControlError, expect, serial, wait_for
from test_kill import Manager
from uart import (DTR, LOW_LATENCY, NO_COUNTS, NO_DELAYS, NO_LATENCY, NO_MODEM,
                  NO_RS485, NO_RTSCTS, NO_SPEED, NO_XONXOFF, RS485, RTS,
                  RTS_AFTER_SEND, RTS_ON_SEND, RX_DURING_TX, Uarts)



@pytest.fixture
def uart(directory, pty, daemon):
    """Starts a daemon with serial ports a and b; it, the devices, a's line."""
    uarts = Uarts(directory / "lines")

    def start(lacks=0, settled=True, exclusively=False, **keys):
        a, b = pty("a"), pty("b")
        line = uarts.line(a)
        line.lacks, line.exclusive = lacks, exclusively
        d = daemon(serial("a", a, **{"framing": "line", **keys}) +
                   serial("b", b, framing="line"), settled=settled,
                   env=uarts.env)
        line.forget_changes()           # those of the opening
        return d, a, b, line
    return start


def passes(a, b, text=b"hello\n"):
    a.send(text)
    expect(b, text, [a])


# --- modem lines -------------------------------------------------------------

def test_opening_raises_dtr_once_and_nothing_lowers_it(uart):
    d, a, b, line = uart()
    passes(a, b)
    assert line.on(DTR) and line.on(RTS)
    d.control("set a/baud 19200")
    d.control("reload")
    d.stop()
    assert (line.on(DTR), line.on(RTS), line.rises) == (True, True, 1)


def test_a_restart_does_not_reset_the_board(uart):
    d, a, b, line = uart(low_latency="yes", rs485="yes")
    for n in range(1, 4):
        d.signal(signal.SIGUSR2)
        wait_for(lambda: d.stderr().count(" endpoints up") > n)
        passes(a, b)
        assert line.on(DTR) and line.rises == 1 and line.opens == 1


def test_it_hangs_up_where_that_is_wanted(uart):
    d, _, _, line = uart(hangup_on_close="yes")
    assert line.on(DTR) and line.on(RTS)
    d.stop()
    assert not line.on(DTR) and not line.on(RTS)


def test_lines_are_set_at_the_opening_and_by_hand(uart):
    d, _, _, line = uart(dtr="off")
    assert not line.on(DTR) and line.on(RTS)
    d.control("set a/rts off")
    assert not line.on(RTS)
    d.control("set a/dtr on")
    assert line.on(DTR)
    d.control("set a/dtr keep")
    assert line.on(DTR) and d.get("a/dtr") == "keep"


def test_a_reload_follows_which_line_stands_first(uart):
    d, a, b, line = uart(dtr="on", rts="on")
    other = serial("b", b, framing="line")
    d.reload(serial("a", a, framing="line", rts="off", dtr="off") + other)
    assert line.changes()[:2] == [DTR, 0]
    line.forget_changes()
    # The values are the same, in the other order.
    d.reload(serial("a", a, framing="line", dtr="off", rts="off") + other)
    d.reload(serial("a", a, framing="line", dtr="on", rts="on") + other)
    assert [levels for levels in line.changes() if levels][:2] == [DTR, DTR | RTS]
    assert line.rises == 2 and line.opens == 1


def test_a_port_without_modem_lines_works_and_says_what_it_lacks(uart):
    d, a, b, line = uart(lacks=NO_MODEM, dtr="off")
    passes(a, b)
    assert "a: cannot set DTR: Inappropriate ioctl for device" in d.stderr()
    with pytest.raises(ControlError, match="cannot set DTR"):
        d.control("set a/dtr on")
    assert d.get("a/dtr") == "off"


def test_a_port_that_another_program_has_to_itself_is_left_alone(uart):
    d, a, b, line = uart(settled=False, exclusively=True)
    wait_for(lambda: "held by another program, which `sudo fuser -v "
             in d.get("a/error"))
    assert d.state("a") == "lost"
    line.exclusive = 0
    d.wait_state("a", "up")
    passes(a, b)


# --- the line ----------------------------------------------------------------

def test_what_the_driver_does_not_do_is_said(uart):
    d, a, b, _ = uart(mode="7E1")      # a pseudo-terminal has 8N1 alone
    passes(a, b)
    assert "a: the driver does not do mode" in d.stderr()
    with pytest.raises(ControlError, match="does not do mode"):
        d.control("set a/mode 7E2")
    assert d.get("a/mode") == "7E1"
    passes(a, b)


@pytest.mark.parametrize("lacks, key, value, words", [
    (NO_RTSCTS, "flow", "rtscts", "the driver has no RTS/CTS flow control"),
    (NO_XONXOFF, "flow", "xonxoff", "the driver has no XON/XOFF flow control"),
    (NO_SPEED, "baud", "250000",
     "the line runs at 9600 baud instead of 250000")])
def test_a_setting_that_is_not_taken_is_told_and_not_taken_by_hand(
        uart, lacks, key, value, words):
    d, a, b, line = uart(lacks=lacks, **{key: value})
    passes(a, b)
    assert f"a: {words}" in d.stderr()
    line.lacks = 0
    before = {"flow": "none", "baud": "9600"}[key]
    d.control(f"set a/{key} {before}")
    line.lacks = lacks
    with pytest.raises(ControlError, match=words):
        d.control(f"set a/{key} {value}")
    assert d.get(f"a/{key}") == before
    passes(a, b)


def test_what_the_driver_counts_is_shown(uart):
    d, _, _, line = uart()
    line.frame, line.parity, line.overrun, line.brk = 1, 2, 3, 4
    assert [d.number(f"a/line_{what}") for what in
            ("frame", "parity", "overrun", "break")] == [1, 2, 3, 4]


def test_what_the_driver_does_not_count_is_not_there(uart):
    d, _, _, _ = uart(lacks=NO_COUNTS)
    assert not any("line_frame" in text for text in d.control("list a"))
    with pytest.raises(ControlError):
        d.get("a/line_frame")


def test_a_break_lasts_as_long_as_it_is_asked_for(uart):
    d, a, b, line = uart()
    d.control("break a 10s")
    assert (line.breaks, line.breaking) == (1, 1)
    assert "the end of a break of 10s on" in d.tasks()["a.break"]["label"]
    with pytest.raises(ControlError, match="busy"):
        d.control("break a")
    d.control("cancel a.break")
    assert line.breaking == 0 and "a.break" not in d.tasks()
    d.control("break a 1ms")
    wait_for(lambda: line.breaking == 0)
    assert line.breaks == 2
    passes(a, b)


def test_a_break_ends_when_its_port_is_closed(uart):
    d, _, _, line = uart()
    d.control("break a 10s")
    d.control("reopen a")
    d.wait_state("a", "up")
    assert line.breaking == 0


# --- reset -------------------------------------------------------------------

def reset(d, line, *words):
    """The levels of DTR and RTS of a whole sequence."""
    line.forget_changes()
    d.control(" ".join(["reset", "a", *words]))
    wait_for(lambda: "a.reset" not in d.tasks())
    return line.changes()


@pytest.mark.parametrize("sequence, levels", [
    ("classic", [RTS, DTR, 0]),
    ("esp", [RTS, 0]),
    ("uno", [RTS, DTR | RTS])])
def test_a_reset_is_a_sequence_of_levels(uart, sequence, levels):
    d, a, b, line = uart(reset=sequence)
    assert d.get("a/reset") == sequence
    assert reset(d, line) == levels
    passes(a, b)


@pytest.mark.parametrize("sequence, levels", [
    ("classic", [RTS, DTR, RTS | DTR]),
    ("esp", [RTS, RTS | DTR]),
    ("uno", [RTS, DTR | RTS])])
def test_after_a_reset_the_signals_are_as_the_section_says(uart, sequence, levels):
    d, _, _, line = uart(rts="on", dtr="on", reset="esp")
    assert reset(d, line, sequence) == levels
    d.control("set a/dtr off")
    assert reset(d, line, sequence)[-1] == RTS
    d.control("set a/reset uno")
    assert reset(d, line) == [RTS, RTS]


def test_a_reset_in_progress_is_shown_and_not_repeated(uart):
    d, _, _, line = uart(reset="uno")
    text = d.raw("reset a\nwhere a.reset\nreset a\nreset a classic\ncancel a.reset\n"
                 "reset a esp\n").decode()
    assert "the end of a reset (uno) of" in text
    assert "ERR a was not reset: a reset is in progress\n" * 2 + "OK\nOK\n" in text
    wait_for(lambda: "a.reset" not in d.tasks())
    # The one that was cancelled has left its final levels.
    assert line.changes() == [RTS, DTR | RTS, RTS, 0]


def test_why_there_is_no_reset(uart):
    d, a, b, line = uart(flow="rtscts")
    for command, words in (
            ("reset a", r"\[serial a\] does not say how; name the sequence, as in"
                        " 'reset a uno': classic, esp or uno"),
            ("reset a clasic", "'clasic' is not a sequence: classic, esp or uno;"
                               " did you mean 'classic'"),
            ("reset a none", "'none' is not a sequence"),
            ("reset a esp", "reset = esp and flow = rtscts exclude each other"),
            ("reset c", "c")):
        with pytest.raises(ControlError, match=words):
            d.control(command)
    with pytest.raises(ControlError, match="reset = esp and flow = rtscts"):
        d.control("set a/reset esp")
    line.lacks = NO_MODEM
    with pytest.raises(ControlError, match="DTR and RTS cannot be set"):
        d.control("reset a uno")
    assert line.changes() == []
    a.unplug()
    d.wait_state("a", "lost")
    with pytest.raises(ControlError, match="a is lost: it was not reset"):
        d.control("reset a uno")


def test_a_board_is_not_held_in_reset_by_a_restart(uart):
    d, a, b, line = uart(reset="uno")
    d.control("reset a")
    d.signal(signal.SIGUSR2)
    wait_for(lambda: d.stderr().count(" endpoints up") > 1)
    assert line.changes() == [RTS, DTR | RTS]
    passes(a, b)


@pytest.mark.parametrize("sequence", ["classic", "esp"])
def test_a_reset_ends_when_its_port_is_closed(uart, sequence):
    d, a, b, line = uart()
    d.raw(f"reset a {sequence}\nreopen a\n")
    d.wait_state("a", "up")
    assert line.changes()[:2] == [RTS, 0]
    passes(a, b)


# --- special drivers ---------------------------------------------------------

def test_a_break_ends_with_a_restart(uart):
    d, a, b, line = uart()
    d.control("break a 10s")
    assert line.breaking == 1
    d.signal(signal.SIGUSR2)
    wait_for(lambda: d.stderr().count(" endpoints up") > 1)
    assert line.breaking == 0 and "a.break" not in d.tasks()
    passes(a, b)
    assert line.opens == 1


@pytest.mark.parametrize("how", ["killed", "stopped", "no longer configured"])
def test_a_break_ends_with_the_process(how, pty, directory):
    uarts, manager, a, b = Uarts(directory / "lines"), Manager(directory), pty("a"), pty("b")
    line = uarts.line(a)
    conf = serial("b", b, framing="line")
    whole = serial("a", a, framing="line") + conf
    try:
        d = manager.start(directory, whole, env=uarts.env)
        d.settle()
        d.control("break a 10s")
        assert line.breaking == 1
        if how == "stopped":
            d.stop()
            assert line.breaking == 0
        else:
            d.kill()
            assert line.breaking == 1
        with manager.start(directory, conf if "no" in how else whole, env=uarts.env):
            wait_for(lambda: line.breaking == 0)
    finally:
        d.kill()
        manager.close()


def test_low_latency_is_on_while_the_port_is_open(uart):
    d, _, _, line = uart(low_latency="yes")
    assert line.latency & LOW_LATENCY
    d.control("set a/low_latency no")
    assert not line.latency & LOW_LATENCY
    d.control("set a/low_latency yes")
    d.stop()
    assert not line.latency & LOW_LATENCY


def test_without_low_latency_a_port_works_and_says_so(uart):
    d, a, b, _ = uart(lacks=NO_LATENCY, low_latency="yes")
    passes(a, b)
    assert "a: cannot set low latency: the driver has no such mode" in \
        d.stderr()
    d.control("set a/label x")
    with pytest.raises(ControlError, match="no such mode"):
        d.control("set a/low_latency no")


def test_rs485_is_set_as_it_is_asked_for_and_undone(uart):
    d, a, b, line = uart(rs485="yes", rs485_rts_after_send="yes",
                         rs485_rts_on_send="no", rs485_rx_during_tx="yes",
                         rs485_delay_before="3ms", rs485_delay_after="5ms")
    assert line.rs485 == RS485 | RTS_AFTER_SEND | RX_DURING_TX
    assert (line.before, line.after) == (3, 5)
    passes(a, b)
    d.control("set a/rs485_delay_after 7ms")
    assert line.after == 7
    d.control("set a/rs485_rts_on_send yes")
    assert line.rs485 & RTS_ON_SEND
    d.stop()
    assert line.rs485 == 0


def test_a_port_that_has_no_rs485_is_not_used_without_it(uart):
    d, a, b, line = uart(lacks=NO_RS485, rs485="yes", settled=False)
    wait_for(lambda: "the driver has no such mode" in d.get("a/error"))
    assert d.state("a") == "lost"
    line.lacks = 0
    d.wait_state("a", "up")
    assert line.rs485 & RS485
    passes(a, b)


def test_rs485_that_the_driver_does_otherwise_is_told(uart):
    d, a, b, _ = uart(lacks=NO_DELAYS, rs485="yes", rs485_delay_before="3ms",
                      rs485_delay_after="4ms")
    passes(a, b)
    assert "a: the driver does RS-485 otherwise than asked: RTS on while " \
        "sending, off after it, delays 0 and 4 ms" in d.stderr()


def test_rs485_that_the_driver_has_not_cannot_be_set(uart):
    d, a, b, _ = uart(lacks=NO_RS485)
    with pytest.raises(ControlError, match="needs none"):
        d.control("set a/rs485 yes")
    assert d.get("a/rs485") == "no"
    passes(a, b)


# --- closing -----------------------------------------------------------------

def test_output_on_its_way_leaves_before_the_port_is_closed(uart):
    d, a, b, line = uart()
    line.unsent = 100
    d.control("reopen a")
    label = d.tasks()["a.drain"]["label"]
    assert re.match(r"the last 100 bytes to leave /dev/pts/\d+, to close it",
                    label)
    assert d.state("a") == "lost" and "still on its way" in d.get("a/error")
    line.unsent = 0
    d.wait_state("a", "up")
    assert (line.flushed, line.rises) == (0, 1)
    passes(a, b)


def test_output_on_its_way_is_not_lost_by_a_restart(uart):
    d, a, b, line = uart(baud=300)
    line.unsent = 2000
    d.control("reopen a")
    assert "a.drain" in d.tasks()

    def restarted():
        line.unsent -= 1
        return d.stderr().count(" endpoints up") > n
    for n in (1, 2):
        d.signal(signal.SIGUSR2)
        wait_for(restarted)
    assert line.flushed == 0
    assert "a.drain" in d.tasks()
    line.unsent = 0
    d.wait_state("a", "up")
    assert (line.flushed, line.rises) == (0, 1)
    passes(a, b)


def test_output_that_is_stuck_is_thrown_away(uart):
    d, a, b, line = uart(baud=115200)
    line.unsent = 100
    d.control("reopen a")
    d.wait_state("a", "up")
    assert re.search(r"a: 100 bytes did not leave /dev/pts/\d+ and were thrown"
                     r" away", d.stderr())
    assert (line.flushed, line.unsent) == (100, 0)
    passes(a, b)


def test_waiting_for_output_that_is_stuck_can_be_cancelled(uart):
    d, a, b, line = uart(baud=50)
    line.unsent = 100
    d.control("reopen a")
    d.control("cancel a.drain")
    assert line.flushed == 100
    d.wait_state("a", "up")
    passes(a, b)


def test_the_end_does_not_wait_for_output_that_is_stuck(uart):
    d, _, _, line = uart(baud=50, hangup_on_close="yes")
    line.unsent = 100
    d.control("reopen a")
    d.stop()
    assert (line.flushed, line.on(DTR)) == (100, False)
