"""ttybridgectl attach: a terminal on an endpoint."""
import base64
import json
import signal

import pytest

from ctl import Stub, ctl
from harness import expect, section, serial, wait_for


@pytest.fixture
def stub(directory):
    """A control port with these replies, on directory/stub.sock."""
    made = []

    def make(**more):
        replies = {"json get a/framing": ['"raw"', "OK"], "json watch -b a": []}
        made.append(Stub(directory / "stub.sock", replies | more.pop("replies", {})))
        return made[-1]
    yield make
    for s in made:
        s.close()


def came(data, direction="in"):
    return json.dumps({"time": 1.5, "endpoint": "a", "direction": direction, "size": len(data),
                       "base64": base64.b64encode(data).decode()})


def test_each_key_is_a_frame(daemon, pty, terminal):
    a = pty("a")
    d = daemon(serial("a", a))
    t = terminal("-s", d.socket, "attach", "a")
    t.shows("attached to a; ~. leaves")
    for key in (b"x", b"\x03", b"\r", b"\n", b"\x1b[A", b"\x00", b"\xff", b"\x11"):
        t.send(key)
        expect(a, key, [t])
    assert d.number("a/tx_frames") == 8
    assert t.changed()
    t.send(b"\r~.")
    assert t.exit([a]) == 0
    assert not t.changed()
    expect(a, b"\r")


def test_a_tilde_commands_only_at_the_beginning_of_a_line(daemon, pty, terminal):
    a = pty("a")
    d = daemon(serial("a", a))
    t = terminal("-s", d.socket, "attach", "a")
    t.shows("attached")
    t.send(b"a~.b\r")
    expect(a, b"a~.b\r", [t])
    t.send(b"~")
    t.send(b"x~.\r~~.\r")
    expect(a, b"~x~.\r~.\r", [t])
    t.send(b"~?")
    t.shows("~b  sends a break", [a])
    t.send(b"~.")
    assert t.exit([a]) == 0
    assert a.take() == b""


def test_what_comes_is_shown_as_it_is(stub, terminal, directory):
    s = stub()
    t = terminal("-s", directory / "stub.sock", "attach", "a")
    s.say("json watch -b a", came(b"\x1b[1mhello\x1b[0m\r\n"))
    t.shows("\x1b[1mhello\x1b[0m\r")
    s.say("json watch -b a", came(b"no echo", "out"))
    s.say("json watch -b a", '{"not_shown":132}')
    t.shows("[132 not shown]")
    s.say("json watch -b a", came(b"more"))
    t.shows("more")
    assert "no echo" not in t.text()
    s.say("json watch -b a", "ERR it was removed")
    assert t.exit() == 1
    assert "[it was removed]" in t.text()
    assert not t.changed()


@pytest.mark.parametrize("framing", ["raw", "line"])
def test_what_a_device_sends_is_shown(daemon, pty, terminal, framing):
    a = pty("a")
    d = daemon(serial("a", a, framing=framing) + section("echo", "e"))
    t = terminal("-s", d.socket, "attach", "a")
    wait_for(lambda: any("to end its watch" in row["label"] for row in d.tasks().values()))
    a.send(b"\x1b[7mlogin\x1b[0m: \r\n")
    t.shows("\x1b[7mlogin\x1b[0m: \r", [a])
    d.wait_number("a/tx_frames", 1)
    assert t.text().count("login") == 1         # and not what the echo sends back


def test_the_history_comes_first_and_again_when_asked_for(stub, terminal, directory):
    old = base64.b64encode(b"what was before\r\n").decode()
    stub(replies={"json history a": [f'{{"base64":"{old}"}}', "OK"]})
    t = terminal("-s", directory / "stub.sock", "attach", "-r", "a")
    t.shows("what was before")
    t.take()
    t.send(b"~h")
    t.shows("what was before")


@pytest.mark.parametrize("framing, sent, kept, shown", [
    ("raw", b"\x1b[7mold\x1b[0m\r\n", 13, "\x1b[7mold\x1b[0m\r"),
    ("line", b"\x1b[7mold\x1b[0m\n", 12, "\x1b[7mold\x1b[0m\r\n"),
    ("cobs", b"\x06\x1b]0;X\x07\0", 8, r"\x06\x1b]0;X\x07\x00" "\r\n"),
    ("cobs", b"\x05a\nb\r\0\x01", 7, r"\x05a" "\r\n" r"b\r\x00\x01" "\r\n"),
    ("nmea", b"$GPGGA,1*4C\r\n" * 2, 26, "$GPGGA,1*4C\r\n$GPGGA,1*4C\r\n"),
])
def test_the_history_of_a_device(daemon, pty, terminal, framing, sent, kept, shown):
    a = pty("a")
    d = daemon(serial("a", a, framing=framing, history="4K"))
    a.send(sent)
    wait_for(lambda: d.json("history a")["size"] == kept)
    t = terminal("-s", d.socket, "attach", "-r", "a")
    t.shows(shown)
    assert "\x1b]" not in t.text()
    t.take()
    t.send(b"~h" if framing == "raw" else b"~h\n")
    t.shows(shown)


def test_frames_with_control_characters(stub, terminal, directory):
    s = stub(replies={"json get a/framing": ['"cobs"', "OK"], "json watch a": []})
    t = terminal("-s", directory / "stub.sock", "attach", "a")
    s.say("json watch a", json.dumps({"from": "a", "text": "\x1b[2J\\x41"}))
    t.shows(r"\x1b[2J\x41" "\r\n")


def test_changes_of_state_are_shown(daemon, pty, terminal):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, reopen_min="10ms") + serial("b", b))
    t = terminal("-s", d.socket, "attach", "a")
    wait_for(lambda: any("to end its events" in row["label"] for row in d.tasks().values()))
    b.unplug()
    d.wait_state("b", "lost")
    a.unplug()
    t.shows("[a: up -> lost (")
    a.plug()
    t.shows("[a: opening -> up (")
    assert "[b: " not in t.text()
    # It goes on as before.
    a.send(b"here again")
    t.shows("here again", [a])
    t.send(b"x")
    expect(a, b"x", [t])


def test_a_server_without_events(stub, terminal, directory):
    s = stub()
    t = terminal("-s", directory / "stub.sock", "attach", "a")
    wait_for(lambda: "json events" in s.commands)
    s.say("json watch -b a", came(b"hello"))
    t.shows("hello")
    assert "unknown command" not in t.text()
    t.send(b"~.")
    assert t.exit() == 0


def test_an_endpoint_without_history(daemon, pty, terminal):
    d = daemon(serial("a", pty("a"), framing="cobs"))
    t = terminal("-s", d.socket, "attach", "a")
    t.shows("attached")
    t.send(b"~h\n")
    t.shows("'a' has no history; set a/history 64K")


def test_breaks_and_resets(stub, terminal, directory):
    s = stub(replies={"break a": ["OK"], "reset a": ["ERR a cannot be reset"],
                      "send -b a eA==": ["ERR the queue of a is full"]})
    t = terminal("-s", directory / "stub.sock", "attach", "a")
    t.shows("attached")
    t.send(b"~b~r")
    t.shows("[a cannot be reset]")
    t.send(b"x")
    t.shows("[the queue of a is full]")
    # The watch is on a connection of its own.
    commands = [c for c in s.commands if not c.startswith("json ")]
    assert commands == ["break a", "reset a", "send -b a eA=="]


def test_nothing_is_sent_with_r(daemon, pty, terminal):
    a = pty("a")
    d = daemon(serial("a", a), tcp=True)
    t = terminal("-H", f"127.0.0.1:{d.port}", "attach", "-r", "a")
    t.shows("attached to a, to read only")
    t.send(b"x")
    t.shows("nothing is sent: attached with -r")
    t.send(b"\r~.")
    assert t.exit([a]) == 0
    assert a.take() == b"" and d.number("a/tx_frames") == 0


def test_each_line_is_a_frame_of_lines(daemon, pty, terminal):
    a = pty("a")
    d = daemon(serial("a", a, framing="line"))
    t = terminal("-s", d.socket, "attach", "a")
    t.shows("attached")
    t.send(b"hellp\x7fo \\x41\n")           # edited by the terminal
    expect(a, b"hello \\x41\n", [t])
    t.send(b"~~.\n")
    expect(a, b"~.\n", [t])
    t.send(b"~.\n")
    assert t.exit([a]) == 0


def test_other_framings_are_shown_and_typed_with_escapes(daemon, pty, terminal):
    a = pty("a")
    d = daemon(serial("a", a, framing="cobs") + section("echo", "e"))
    t = terminal("-s", d.socket, "attach", "a")
    t.shows("attached")
    wait_for(lambda: any("to end its watch" in row["label"] for row in d.tasks().values()))
    a.send(b"\x02\x01\x02\x03\x00")
    t.shows("\\x01\\x00\\x03\r\n", [a])
    assert t.text().count("\\x03") == 1     # what the echo sends back is not from a
    a.take()
    t.send(b"\\x01\\x00\\x03\n")
    expect(a, b"\x02\x01\x02\x03\x00", [t])
    t.send(b"\\q\n")
    t.shows("a bad escape in the text")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
def test_the_terminal_is_restored_after_a_signal(daemon, pty, terminal, number):
    d = daemon(serial("a", pty("a")))
    t = terminal("-s", d.socket, "attach", "a")
    t.shows("attached")
    wait_for(t.changed)
    t.process.send_signal(number)
    assert t.exit() == -number
    assert not t.changed()


def test_the_terminal_is_restored_when_the_daemon_ends(daemon, pty, terminal):
    d = daemon(serial("a", pty("a")))
    t = terminal("-s", d.socket, "attach", "a")
    t.shows("attached")
    wait_for(t.changed)
    d.stop()
    assert t.exit() == 1
    assert not t.changed()
    assert "connection" in t.text()


@pytest.mark.parametrize("words, status, said", [
    (["attach"], 2, "the name of one endpoint is needed"),
    (["attach", "a", "b"], 2, "the name of one endpoint is needed"),
    (["attach", "-x", "a"], 2, "unknown option '-x'"),
    (["attach", "a b"], 2, "'a b' is not a name"),
    (["-j", "attach", "a"], 2, "attach prints no JSON"),
    (["attach", "b"], 1, "'b' cannot be attached to: unknown endpoint"),
])
def test_wrong_use(daemon, pty, terminal, words, status, said):
    d = daemon(serial("a", pty("a")))
    t = terminal("-s", d.socket, *words)
    assert t.exit() == status
    assert said in t.text()
    assert not t.changed()


def test_without_a_terminal(daemon, pty):
    d = daemon(serial("meter", pty("a")))
    done = ctl("-s", d.socket, "attach", "meter")
    assert done.returncode == 2 and "not a terminal" in done.stderr
    done = ctl("-s", d.socket, "attach", "metre")
    assert done.returncode == 1
    assert "'metre' cannot be attached to: unknown endpoint; did you mean 'meter'?" in done.stderr
    done = ctl("-s", d.socket, "attach", "b")
    assert "'b' cannot be attached to: unknown endpoint; ttybridgectl endpoints" in done.stderr
