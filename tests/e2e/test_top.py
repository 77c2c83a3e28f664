"""ttybridgectl top, in a terminal of 80 columns and 24 lines."""
import json
import os
import shutil
import subprocess

import pytest

from ctl import CTL, Stub
from harness import SANITIZERS, expect, section, serial, wait_for

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="there is no tmux")


class Screen:
    """It runs in tmux, which draws what a terminal would."""

    def __init__(self, directory, *args, locale="C.UTF-8"):
        self.socket = directory / "tmux"
        env = {**os.environ, **SANITIZERS, "LC_ALL": "C.UTF-8"}
        env.pop("TMUX", None)
        words = " ".join(map(str, args))
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24",
                  f"LC_ALL={locale} {CTL} {words}; echo ended with $?; stty -a; cat", env=env)

    def tmux(self, *words, **kwargs):
        return subprocess.run(["tmux", "-S", str(self.socket), *words], check=True, text=True,
                              stdout=subprocess.PIPE, **kwargs).stdout

    def lines(self):
        return self.tmux("capture-pane", "-p").split("\n")

    def type(self, *keys):
        self.tmux("send-keys", *keys)

    def shows(self, *texts, without=()):
        """Until all of these are on the screen."""
        def there():
            text = "\n".join(self.lines())
            return all(t in text for t in texts) and not any(t in text for t in without)
        try:
            wait_for(there)
        except AssertionError:
            raise AssertionError(f"no {texts} in\n" + "\n".join(self.lines())) from None

    def row(self, name):
        return next((line.split() for line in self.lines() if line.split()[:1] == [name]), [])

    def close(self):
        subprocess.run(["tmux", "-S", str(self.socket), "kill-server"])


@pytest.fixture
def screen(directory):
    made = []

    def make(*args, **kwargs):
        made.append(Screen(directory, *args, **kwargs))
        return made[-1]
    yield make
    for s in made:
        s.close()


def conf(directory):
    return (serial("ar1", directory / "ar1", framing="line") +
            serial("ar2", directory / "ar2", framing="line") +
            section("route", "both", between="ar1 ar2"))


@pytest.fixture
def bridge(daemon, pty, directory):
    a, b = pty("ar1"), pty("ar2")
    d = daemon(conf(directory))
    return d, a, b


def test_the_tables_are_on_one_screen(bridge, screen):
    d, a, b = bridge
    s = screen("-s", d.socket, "top", "-d", "200ms")
    s.shows("2 of 2 endpoints up", "NAME", "ROUTE", "TASK", "ar1.read", "both")
    assert all(len(line) <= 80 for line in s.lines())

    def rate():
        a.send(b"hello\n")
        expect(b, b"hello\n")
        return float(s.row("ar1")[4]) > 0
    wait_for(rate)
    # Frames that came in and went out are the same as in the other tables.
    s.type("1")
    s.shows("TRAFFIC", "\u2588", without=["ROUTE"])
    s.type("2")
    s.shows("ROUTE", "P99", without=["TRAFFIC"])
    s.type("3")
    s.shows("TASK", "ar2.read", "a line from ar2", without=["P99"])
    s.type("Right")
    s.shows("ar2.read", "(/", without=["a line from ar2"])
    s.type("Left")
    s.shows("a line from ar2")
    s.type("q")
    s.shows("ended with 0", " icanon", " echo ")


def test_filter_sort_pause_and_help(bridge, screen):
    d, a, b = bridge
    s = screen("-s", d.socket, "top", "-d", "200ms")
    s.shows("2 of 2 endpoints up")
    s.type("1", "/", "r", "2", "Enter")
    s.shows("ar2", "/ filter: r2", without=["ar1  "])
    s.type("Escape")
    s.shows("ar1  ", "ar2  ")
    s.type("s", "r")
    s.shows("s sort: NAME reversed")
    lines = s.lines()
    assert lines[3].startswith("ar2") and lines[4].startswith("ar1")
    s.type("Space")
    s.shows("[paused]")
    d.control("pause ar1")
    s.type("h")
    s.shows("q           quit")
    s.type("h")
    s.shows("ar1  ", without=["q           quit"])
    assert s.row("ar1")[1] == "up"
    s.type("Space")
    wait_for(lambda: s.row("ar1")[1:2] == ["paused"])


def test_control_characters_are_not_drawn(directory, screen):
    row = {"name": "a\n\x1b[7m", "state": "lost"}
    stub = Stub(directory / "stub.sock", {
        "json endpoints": [json.dumps([row]), "OK"],
        "json routes": ["[]", "OK"],
        "json ps": ["[]", "OK"],
        "json version": [json.dumps({"name": "x\ny", "version": "\x1b[1m", "uptime": 1}), "OK"]})
    s = screen("-s", directory / "stub.sock", "top")
    s.shows(r"x\ny \x1b[1m, up 1s, 0 of 1 endpoints up")
    assert s.row(r"a\n\x1b[7m")[1] == "lost"
    s.type("q")
    s.shows("ended with 0")
    stub.close()


def test_it_follows_the_size_of_the_terminal(bridge, screen):
    d, *_ = bridge
    s = screen("-s", d.socket, "top", "-d", "200ms")
    s.shows("2 of 2 endpoints up")
    for columns, lines in ((40, 10), (200, 50), (1, 1), (10, 3), (80, 24)):
        s.tmux("resize-window", "-x", str(columns), "-y", str(lines))
    s.shows("2 of 2 endpoints up", "ar1.read", "q quit")


def test_columns_use_the_width_of_the_screen(daemon, pty, directory, screen):
    names = "a", "the-sensor-on-the-roof-of-hut-2"
    d = daemon("".join(serial(name, pty(name), framing="line") for name in names) +
               section("route", "r", between=" ".join(names)))
    s = screen("-s", d.socket, "top", "-d", "200ms")
    s.shows("2 of 2 endpoints up", "in 0B/s, out 0B/s", "RX B/S", "TX B/S",
            without=["FRAMING", "ADDRESS"])
    s.type("3")
    s.shows("the-sensor-on-the-roof", "a line from")
    s.tmux("resize-window", "-x", "160", "-y", "24")
    s.shows("the-sensor-on-the-roof-of-hut-2.read", "a line from the-sensor-on-the-roof-of-hut-2")
    s.type("1")
    s.shows("the-sensor-on-the-roof-of-hut-2 ", "FRAMING", "line ", "ADDRESS",
            f"{directory}/a"[:20])
    assert all(len(line) <= 160 for line in s.lines())
    s.type("h")
    s.shows("B/S: bytes a second")


def test_it_survives_a_restart_of_the_daemon(bridge, screen, daemon, directory):
    d, *_ = bridge
    s = screen("-s", d.socket, "top", "-d", "200ms")
    s.shows("2 of 2 endpoints up")
    d.stop()
    s.shows("tries again: ")
    daemon(conf(directory), name="daemon")
    s.shows("2 of 2 endpoints up", without=["tries again"])


@pytest.mark.parametrize("number", ["TERM", "HUP", "INT"])
def test_the_terminal_is_restored_after_a_signal(bridge, screen, number):
    d, *_ = bridge
    s = screen("-s", d.socket, "top")
    s.shows("2 of 2 endpoints up")
    pid = s.tmux("list-panes", "-F", "#{pane_pid}").strip()
    subprocess.run(["pkill", f"-{number}", "-P", pid, "ttybridgectl"], check=True)
    s.shows("ended with ", " icanon", " echo ")


def test_without_utf_8(bridge, screen):
    d, a, b = bridge
    s = screen("-s", d.socket, "top", "-d", "200ms", locale="C")
    s.shows("2 of 2 endpoints up")

    def drawn():
        a.send(b"hello\n")
        expect(b, b"hello\n")
        return any("@" in line for line in s.lines())
    wait_for(drawn)


@pytest.mark.parametrize("words, said", [
    (["top", "x"], "too many arguments, from 'x' on"),
    (["top", "-d", "0"], "'0' is not a time from 0.1 to 3600 seconds"),
    (["top", "-x"], "wrong option '-x'"),
])
def test_wrong_use(directory, screen, words, said):
    s = screen(*words)
    s.shows(said, "ended with 2")
