"""
Every call to the system and for memory fails once.

tests/fault/fault.c is preloaded into the daemon.  A story (fault_stories.py: devices,
clients, control commands, an unplugged device, a reload, a restart, a stop) is played
once to learn from where which functions are called: the sites.  Then it is played again
for each site, whose first call fails.  Whatever fails, the daemon

    - ends at the start, with a sentence and exit status 1 or 2, or
    - lives: it answers, its endpoints come back, frames pass, each is accounted for,
      it does not spin, holds no descriptor too many, and it ends when it is told to,
      without a leak.

TTYBRIDGE_FAULTS=N plays N sites and errors of each function, of each story (default 1);
"all" plays

    - each site with each of the errors of its function,
    - each site and the calls of that function behind it, a spell of failures,
    - where there may be no more memory or descriptors: each site and all calls of
      that function from then on; the daemon may end then at any time, but with a
      sentence,
    - calls of each function by their number, wherever they come from.

TTYBRIDGE_FAULTS_PART=I/N plays the I-th of N parts of that.  One alone, as a failure
names it:

    tests/e2e/test_faults.py STORY FUNCTION CALL ERROR TIMES
"""
import errno
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from fault_stories import STORIES, Ended
from harness import BINARY, BROKEN, FAULTS, section, wait_for

HOW_MANY = os.environ.get("TTYBRIDGE_FAULTS", "1")
PART = os.environ.get("TTYBRIDGE_FAULTS_PART", "1/1")
WORKERS = 4
SHORT, END = -1, -2
# Times that a call fails: a spell, and from then on.
SPELL, EVER = 6, 10 ** 6
# Calls of a function that are tried by their number.
NUMBERS = 24

ERRORS = {
    "read": (errno.EIO, errno.EINTR, errno.EAGAIN, SHORT, END),
    "readv": (errno.EIO, errno.EINTR, errno.EAGAIN, SHORT, END,
              errno.ECONNRESET),
    "write": (errno.EIO, errno.EINTR, errno.EAGAIN, SHORT, errno.ENOSPC),
    "writev": (errno.EIO, errno.EINTR, errno.EAGAIN, SHORT, errno.EPIPE),
    "pread": (errno.EIO, SHORT, END),
    "pwrite": (errno.ENOSPC, SHORT),
    "send": (errno.EPIPE, errno.EINTR, errno.EAGAIN, SHORT, errno.ENOBUFS),
    "sendto": (errno.ENETUNREACH, errno.EINTR, errno.EAGAIN, errno.ENOBUFS,
               errno.EMSGSIZE),
    "sendmsg": (errno.EPIPE, errno.EAGAIN, errno.ENOBUFS),
    "recv": (errno.ECONNRESET, errno.EINTR, errno.EAGAIN, END),
    "recvfrom": (errno.ECONNREFUSED, errno.EINTR, errno.EAGAIN),
    "recvmsg": (errno.EINTR, errno.EAGAIN, errno.EIO),
    "open": (errno.EMFILE, errno.ENOENT, errno.EACCES, errno.EPERM,
             errno.EINTR, errno.ENOMEM, errno.EBUSY),
    "openat": (errno.EMFILE, errno.ENOSPC),
    "fopen": (errno.EMFILE, errno.EACCES),
    "opendir": (errno.EMFILE, errno.ENOENT),
    "accept": (errno.EMFILE, errno.ECONNABORTED, errno.EINTR, errno.EAGAIN),
    "accept4": (errno.EMFILE, errno.ECONNABORTED, errno.EINTR, errno.EAGAIN,
                errno.ENOMEM),
    "socket": (errno.EMFILE, errno.ENOBUFS, errno.EAFNOSUPPORT),
    "bind": (errno.EADDRINUSE, errno.EACCES),
    "listen": (errno.EADDRINUSE,),
    "connect": (errno.ECONNREFUSED, errno.EINTR, errno.ENETUNREACH),
    "ioctl": (errno.EIO, errno.EINTR, errno.ENOTTY, errno.EINVAL),
    "fcntl": (errno.EINVAL, errno.EMFILE),
    "tcgetattr": (errno.EIO, errno.EINTR),
    "tcsetattr": (errno.EIO, errno.EINTR),
    "posix_openpt": (errno.ENOSPC, errno.EMFILE),
    "flock": (errno.EWOULDBLOCK, errno.EINTR, errno.ENOLCK),
    "epoll_ctl": (errno.ENOMEM, errno.ENOSPC),
    "epoll_wait": (errno.EINTR,),
    "poll": (errno.EINTR, errno.ENOMEM),
    "inotify_init1": (errno.EMFILE,),
    "inotify_add_watch": (errno.ENOSPC, errno.EACCES),
    "malloc": (errno.ENOMEM,),
    "calloc": (errno.ENOMEM,),
    "realloc": (errno.ENOMEM,),
    "mmap": (errno.ENOMEM,),
    "memfd_create": (errno.EMFILE,),
}
OTHER_ERRORS = (errno.EIO, errno.ENOMEM)
# What may be used up for good.
RESOURCES = {"malloc", "calloc", "realloc", "open", "openat", "fopen", "opendir",
             "accept4", "socket", "socketpair", "posix_openpt", "memfd_create",
             "inotify_init1", "inotify_add_watch", "epoll_create1", "pipe2",
             "symlink", "bind", "signalfd", "timerfd_create"}
# What is not ours, by a function on the way and what is said: without memory getgrnam()
# aborts, and so does the sanitizer at the start of a thread.
KNOWN = (("", "nss_database"), ("set_owner at listener.c", "status -6"),
         ("", "pthread_getattr_np"))


class Fault:
    """A call that is to fail."""

    def __init__(self, function, call, error, times=1):
        self.function, self.call = function, call
        self.error, self.times = int(error), int(times)

    def __str__(self):
        return f"{self.function} {self.call} {self.error} {self.times}"

    def named(self):
        name = {SHORT: "short", END: "end of input"}.get(self.error) or \
            errno.errorcode[self.error]
        return f"{self} ({name})"


# --- playing them ------------------------------------------------------------

def judged(story):
    """What is wrong with a daemon in which calls failed, or None."""
    if story.fault is not None and story.fault.times == EVER:
        # It may not have come to deal with signals yet.
        story.allowed = (0, 1, 2, -signal.SIGTERM)
        return story.still() or story.end()
    return next(filter(None, story.judge()), None) or story.end()


def play(kind, fault=None, most=None):
    """What happened, what is wrong with the daemon, or None, and the story."""
    with tempfile.TemporaryDirectory(prefix="ttyfault") as directory:
        story = STORIES[kind](directory, fault, most)
        wrong = None
        try:
            story.play()
            wrong = judged(story)
        except Ended:
            if fault is None:
                raise
            wrong = story.d.well_ended()
            if fault is not None and fault.times == EVER and \
                    story.d.process.returncode in story.allowed:
                wrong = None
        except Exception:           # the others are to be tried all the same
            if fault is None:
                raise
            wrong = f"the story broke off: {traceback.format_exc()}"
        finally:
            story.close()
        d = story.d
        if BROKEN.search(d.stderr()):
            wrong = "the sanitizer has found something"
        happened = d.happened()
        if wrong is not None and happened and any(
                function in readable(happened) and text in d.stderr() + wrong
                for function, text in KNOWN):
            wrong = None
        if fault is None:
            happened = d.log.read_text()
        if wrong is not None:
            wrong += f"\n--- standard error\n{d.stderr()[-6000:]}"
    return happened, wrong, story


def names_of(addresses):
    """Address in the daemon -> the function and the line of the call before it."""
    try:
        done = subprocess.run(
            ["addr2line", "-sfpe", BINARY],
            input="".join(f"{int(a, 16) - 1:#x}\n" for a in addresses),
            stdout=subprocess.PIPE, text=True, check=True)
        return dict(zip(addresses, done.stdout.splitlines()))
    except (OSError, subprocess.CalledProcessError):
        return {}


def readable(stack, names=None):
    """The frames of a logged stack, with lines where they are the daemon's."""
    frames = stack.split()[4:]
    own = [f.split("+")[1] for f in frames if f.startswith("ttybridged+")]
    names = names or names_of(own)
    return "\n".join("    " + names.get(f.removeprefix("ttybridged+"), f)
                     for f in frames)


def learned(log):
    """Function -> its sites, in the order of their first calls; -> its calls."""
    found, counts = {}, {}
    for line in log.splitlines():
        what, function, *rest = line.split()
        if what == "site":
            found.setdefault(function, {})[f"@{rest[1]}"] = True
        elif what == "calls":
            counts[function] = max(int(rest[0]), counts.get(function, 0))
    return found, counts


def spread(items, n, salt=""):
    """At most n of them, evenly, and always the same."""
    n, start = min(n, len(items)), zlib.crc32(salt.encode())
    return [items[(start + i * len(items) // n) % len(items)]
            for i in range(n)]


def plan(kind, log):
    """The faults to be tried."""
    found, counts = learned(log)
    for function, sites in sorted(found.items()):
        sites = list(sites)
        errors = ERRORS.get(function, OTHER_ERRORS)
        if HOW_MANY != "all":
            pairs = [(site, e) for e in errors for site in sites]
            for site, e in spread(pairs, int(HOW_MANY), kind + function):
                yield Fault(function, site, e)
            continue
        for site in sites:
            for e in errors:
                yield Fault(function, site, e)
            yield Fault(function, site, errors[0], SPELL)
            if function in RESOURCES:
                yield Fault(function, site, errors[0], EVER)
        numbers = spread(range(1, counts.get(function, 0) + 1), NUMBERS)
        for i, n in enumerate(numbers):
            yield Fault(function, n, errors[i % len(errors)])


def part(faults):
    which, of = map(int, PART.split("/"))
    return faults[which - 1::of]


def try_fault(kind, fault, most):
    happened, wrong, _ = play(kind, fault, most)
    if wrong is None:
        return happened, None
    where = readable(happened) if happened else "    it did not happen"
    return happened, f"{kind} {fault.named()}\n{where}\n  {wrong}"


def check_library():
    assert FAULTS.exists(), f"{FAULTS} is not there: make faults"


@pytest.mark.parametrize("kind", STORIES)
def test_whatever_fails_once_the_daemon_survives_or_says_why(kind):
    check_library()
    log, wrong, story = play(kind)
    assert wrong is None, wrong
    faults = part(list(plan(kind, log)))
    with ThreadPoolExecutor(WORKERS) as pool:
        results = list(pool.map(
            lambda f: try_fault(kind, f, story.held or None), faults))
    bad = [wrong for _, wrong in results if wrong is not None]
    happened = sum(1 for h, _ in results if h)
    print(f"{kind}: {len(faults)} faults, {happened} happened, "
          f"{len(bad)} found the daemon wanting")
    assert not bad, "\n\n".join(bad)
    assert happened > 0.8 * len(faults)


def without_memory(log, function, *way):
    """Faults of a function, where all of that is on the way to it."""
    names = names_of(sorted(set(re.findall(r"ttybridged\+(\w+)", log))))
    found = [Fault(function, "@" + line.split()[3], errno.ENOMEM) for line in log.splitlines()
             if line.startswith(f"site {function} ") and
             all(part in readable(line, names) for part in way)]
    assert found, f"{way} needs no memory"
    return found


def test_a_text_without_memory_is_not_used():
    """One that is closed without an error, and is not there."""
    log, _, _ = play("changes")
    for fault in without_memory(log, "realloc", "expression_plain at"):
        happened, wrong, _ = play("changes", fault)
        assert happened and wrong is None, wrong


def test_a_reload_without_memory_is_told_apart_from_a_fault(tmp_path):
    check_library()
    log, _, _ = play("changes")
    # In the thread of a reload.
    fault = without_memory(log, "calloc", " options_config", " work at worker.c")[0]
    story = STORIES["changes"](tmp_path, fault)
    try:
        story.play()
        said = story.d.stderr()
    finally:
        story.close()
    assert "out of memory: nothing was changed" in said
    assert said.count("the configuration has") == 1     # the faulty one


def test_a_start_that_fails_closes_nothing_that_was_left(tmp_path):
    story = STORIES["service"](tmp_path)
    try:
        lan, _ = story.begin()
        story.leave()
        busy = section("control", "busy",
                       listen=f"127.0.0.1:{story.far.port}")
        story.run(story.text(busy))
        wait_for(lambda: "busy" in story.d.stderr())
        assert story.a.opened()
        story.leave()
        story.run(story.text())
        assert story.hear(lan, story.say(story.a)), story.d.stderr()
        assert not lan.eof and story.end() is None
    finally:
        story.close()


def main(kind, *words):
    check_library()
    fault = Fault(*words) if words else None
    most = play(kind)[2].held if fault else None
    start = time.monotonic()
    happened, wrong, _ = play(kind, fault, most or None)
    print(readable(happened) if fault and happened else happened)
    print(wrong or "well", f"in {time.monotonic() - start:.2f}s")
    return wrong is not None


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
