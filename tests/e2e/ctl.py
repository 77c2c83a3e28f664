"""ttybridgectl, the program under test beside the daemon's."""
import os
import subprocess

from harness import BINARY, BROKEN, PATIENCE, SANITIZERS

CTL = os.path.join(os.path.dirname(BINARY), "ttybridgectl")


def ctl(*args, timeout=None, **kwargs):
    """Runs it to its end; .returncode, .stdout, .stderr as text."""
    done = subprocess.run(
        [CTL, *map(str, args)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, errors="replace",
        env={**os.environ, **SANITIZERS}, timeout=timeout or PATIENCE, **kwargs)
    assert not BROKEN.search(done.stderr), done.stderr
    return done


def start(*args, **kwargs):
    """Starts it, with pipes."""
    return subprocess.Popen(
        [CTL, *map(str, args)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env={**os.environ, **SANITIZERS}, **kwargs)
