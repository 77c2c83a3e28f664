"""A broker that confirms messages late, not in order, or not at all: with a spool."""
import itertools

import pytest

from fake_broker import FakeBroker
from harness import Daemon, flush, free_port, pump, section, serial, wait_for
from test_accounts import account
from test_handover import restart
from test_spool import on_disk


@pytest.fixture
def daemon(directory):
    made = []

    def make(text, **keys):
        made.append(Daemon(directory, text, settled=False, **keys))
        return made[-1]
    yield make
    for d in made:
        d.kill()


@pytest.fixture
def broker():
    made = []

    def make(**keys):
        made.append(FakeBroker(**keys))
        return made[-1]
    yield make
    for b in made:
        b.close()


def conf(directory, gps, address, **keys):
    state = directory / "state"
    state.mkdir(exist_ok=True)
    keys = dict(spool="1M", spool_sync="always", queue="4K", reopen_max="300ms") | keys
    return (section("daemon", "", name_="boat", state_dir=state) +
            serial("gps", gps, framing="line") +
            section("mqtt", "m", broker=address, publish="x", **keys))


def texts(first, last):
    return [b"line %03d" % n for n in range(first, last + 1)]


def say(stream, first, last):
    stream.send(b"".join(x + b"\n" for x in texts(first, last)))


def waiting(daemon, directory, gps, broker, n, **keys):
    """A daemon with n frames in its spool that the broker has, but has not confirmed."""
    d = daemon(conf(directory, gps, f"127.0.0.1:{free_port()}", **keys))
    d.wait_state("m", "lost")
    say(gps, 1, n)
    pump([gps], lambda: d.number("m/offered") == n)
    wait_for(lambda: len(on_disk(directory, "m")) == n, what="the spool")
    d.write(conf(directory, gps, broker.address, **keys))
    d.reload()
    pump([gps], lambda: len(broker.messages) == n, what="the messages")
    return d


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_later_frame_is_confirmed_first(pty, daemon, broker, directory, end):
    """After a restart the earlier one, which was not confirmed, is sent again."""
    first, second = broker(confirms=False), broker()
    gps = pty("gps")
    d = waiting(daemon, directory, gps, first, 10)
    for m in first.messages[1:5] + first.messages[6:]:
        first.confirm(m)
    d.wait_number("m/tx_frames", 8)
    # The ledger is written at once.
    say(gps, 11, 11)
    pump([gps], lambda: len(first.messages) == 11)
    wait_for(lambda: texts(11, 11)[0] in on_disk(directory, "m"))
    text = conf(directory, gps, second.address)
    if end == "kill":
        d.kill()
    else:
        d.stop()
    d = daemon(text)
    pump([gps], lambda: texts(11, 11)[0] in second.payloads(), what="the last one")
    assert texts(1, 1)[0] in second.payloads()
    assert texts(6, 6)[0] in second.payloads()
    origins = {m.payload: m.properties for m in first.messages}
    for m in second.messages:
        assert m.properties == origins[m.payload]
    d.wait_number("m/queued_frames", 0)


def test_accounts_after_a_restart(pty, daemon, broker, directory):
    """Those that were confirmed early count as offered again."""
    first, second = broker(confirms=False), broker()
    gps = pty("gps")
    d = waiting(daemon, directory, gps, first, 10)
    for m in first.messages[2:4]:
        first.confirm(m)
    d.wait_number("m/tx_frames", 2)
    account(d, "m")
    # The new process does not find the broker.
    first.close()
    restart(d, [gps])
    account(d, "m")
    d.write(conf(directory, gps, second.address))
    d.reload()
    pump([gps], lambda: texts(10, 10)[0] in second.payloads())
    assert second.payloads()[:2] == texts(1, 2)
    d.wait_number("m/queued_frames", 0)
    account(d, "m")


def test_the_spool_is_empty_when_all_are_confirmed(pty, daemon, broker, directory):
    b = broker(confirms=False)
    gps = pty("gps")
    d = waiting(daemon, directory, gps, b, 10)
    for m in reversed(b.messages):
        b.confirm(m)
    d.wait_number("m/tx_frames", 10)
    wait_for(lambda: "empty" in d.control("spool")[1], what="the spool to be empty")
    assert d.number("m/dropped") == 0


def test_a_refused_frame_does_not_pass_an_earlier_one(pty, daemon, broker, directory):
    first, second = broker(confirms=False), broker()
    gps = pty("gps")
    d = waiting(daemon, directory, gps, first, 5)
    first.confirm(first.messages[3], code=0x87)
    d.wait_number("m/dropped_refused", 1)
    text = conf(directory, gps, second.address)
    d.kill()
    daemon(text)
    pump([gps], lambda: texts(5, 5)[0] in second.payloads())
    assert second.payloads()[:3] == texts(1, 3)


def test_frames_that_expire_do_not_pass_an_earlier_one(pty, daemon, broker, directory):
    """The window is full of unconfirmed frames while those behind them become too old."""
    first, second = broker(confirms=False), broker()
    gps = pty("gps")
    keys = dict(window=2)
    d = daemon(conf(directory, gps, f"127.0.0.1:{free_port()}", **keys))
    d.wait_state("m", "lost")
    say(gps, 1, 6)
    pump([gps], lambda: d.number("m/offered") == 6)
    d.write(conf(directory, gps, first.address, frame_age="1500ms", **keys))
    d.reload()
    pump([gps], lambda: len(first.messages) == 2)
    numbers = itertools.count(7)

    def expired():
        say(gps, *[next(numbers)] * 2)
        return d.number("m/dropped_expired") >= 4
    pump([gps], expired)
    last = next(numbers)
    say(gps, last, last)
    pump([gps], lambda: d.number("m/offered") == last)
    wait_for(lambda: texts(last, last)[0] in on_disk(directory, "m"))
    text = conf(directory, gps, second.address, **keys)
    d.kill()
    daemon(text)
    pump([gps], lambda: texts(last, last)[0] in second.payloads())
    assert second.payloads()[:2] == texts(1, 2)


def test_drop_while_frames_are_not_confirmed(pty, daemon, broker, directory):
    """What is confirmed afterwards is not taken for another frame."""
    b = broker(confirms=False)
    gps = pty("gps")
    d = waiting(daemon, directory, gps, b, 10)
    assert "dropped" in "".join(d.control("spool drop m"))
    say(gps, 11, 13)
    pump([gps], lambda: len(b.messages) == 13)
    for m in b.messages[:10]:
        b.confirm(m)
    b.confirm(b.messages[10])
    d.wait_number("m/tx_frames", 1)
    b.drop()
    pump([gps], lambda: len(b.messages) >= 15, what="the others again")
    assert b.payloads()[13:15] == texts(12, 13)
