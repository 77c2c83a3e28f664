#!/usr/bin/python3
"""
Plants the faults of tests/mutants/faults in copies of the tree, one at a time, and runs
the tests that are named for each: every one of them has to fail.

    run.py                    all faults; exit status 1 if one is not noticed
    run.py WORD...            those with a WORD in their name or file
    run.py --check            only whether all faults apply to the source
    run.py --tree DIRECTORY   applies one fault to a tree, for a debugger

A file of faults is a list of these, in any number:

    fault: NAME
    about: what a user would see, in a sentence
    in: FUNCTION
    - text as it is in the function
    + text that takes its place
    test: unit/test_queue
    test: e2e/test_tcp.py::test_name

Lines with - and + are joined; white space in them matches any white space, so that a
fault survives a new formatting of the source, and as nothing tells the file, a move to
another one.  The text must be found exactly once in the functions of that name (or
in a table or a macro of that name).  A fault may have several pairs of texts.  In place of
its tests a fault may have `equivalent: REASON`: nothing can notice it.

Copies of the tree are made in build/mutants, and kept, so that only what has changed is
built.  First the named tests are run without any fault: they have to pass.
"""
import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
# What a build and the tests need; everything else stays out of the copies.
COPIED = ("Makefile", "src", "tests", "conf", "man")
LIMIT = 300     # seconds a test may take before it counts as failed


class Error(Exception):
    """The list of faults is wrong, or a fault does not apply."""


class Fault:
    def __init__(self, name, where):
        self.name, self.where = name, where
        self.about = self.equivalent = None
        self.edits, self.tests = [], []

    def __str__(self):
        return f"{self.where}: {self.name}"


class Edit:
    def __init__(self, function):
        self.function, self.before, self.after = function, [], []

    def pattern(self):
        words = re.split(r"\s+", "\n".join(self.before).strip())
        return re.compile(r"\s+".join(map(re.escape, words)))


# --- the list ----------------------------------------------------------------

def parse_line(fault, line):
    key, _, value = line.partition(":")
    value = value.strip()
    if key == "in":
        fault.edits.append(Edit(value))
    elif key == "test":
        fault.tests.append(value)
    elif key in ("about", "equivalent"):
        setattr(fault, key, value)
    else:
        return False
    return True


def continue_line(fault, last, line):
    text = line.strip()
    if last in ("about", "equivalent"):
        setattr(fault, last, getattr(fault, last) + " " + text)
        return True
    return False


def parse(path):
    faults, last = [], None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        where = f"{path.name}:{number}"
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("fault:"):
            faults.append(Fault(line[6:].strip(), where))
            last = None
        elif not faults:
            raise Error(f"{where}: expected 'fault: NAME'")
        elif line[0] in "-+":
            if not faults[-1].edits:
                raise Error(f"{where}: expected 'in: FUNCTION' before the text")
            edit = faults[-1].edits[-1]
            if line[0] == "-" and edit.after:   # another text of the same function
                edit = Edit(edit.function)
                faults[-1].edits.append(edit)
            (edit.before if line[0] == "-" else edit.after).append(line[1:])
        elif line[0] in " \t":
            if not continue_line(faults[-1], last, line):
                raise Error(f"{where}: nothing to continue")
        elif parse_line(faults[-1], line):
            last = line.partition(":")[0]
        else:
            raise Error(f"{where}: expected fault, about, in, -, +, test or equivalent")
    return faults


def check_entry(fault):
    if not fault.about:
        raise Error(f"{fault}: 'about' is missing")
    if not fault.edits or not all(e.before and e.after for e in fault.edits):
        raise Error(f"{fault}: 'in', a text with - and one with + are needed"
                    " ('+' alone removes the text)")
    if bool(fault.tests) == bool(fault.equivalent):
        raise Error(f"{fault}: either tests or 'equivalent: REASON' is needed")
    for test in fault.tests:
        check_test(fault, test)


def check_test(fault, test):
    file, *names = test.split("::")
    path = ROOT / "tests" / (file if file.startswith("e2e/") else file + ".c")
    if not path.exists():
        raise Error(f"{fault}: {test}: {path.relative_to(ROOT)} does not exist")
    for name in names:
        name = name.partition("[")[0]
        if not re.search(rf"(?m)^def {re.escape(name)}\(", path.read_text()):
            raise Error(f"{fault}: {test}: no such test in {file}")


def read_faults(words=()):
    faults = [f for path in sorted((HERE / "faults").glob("*.txt"))
              for f in parse(path)]
    seen = set()
    for fault in faults:
        check_entry(fault)
        if fault.name in seen:
            raise Error(f"{fault}: there are two of that name")
        seen.add(fault.name)
    return [f for f in faults if not words or
            any(w in f.name or w in f.where for w in words)]


# --- the source --------------------------------------------------------------

def sources(tree):
    return {path: path.read_text() for path in sorted((tree / "src").rglob("*.[ch]"))}


def bodies(text, name):
    """Where functions, tables and macros of that name begin and end."""
    name = re.escape(name)
    for start in re.finditer(
            rf"(?m)^{name}\(|^[a-z][^;(\n]*\b{name}(\[[^]\n]*\])* = \{{", text):
        end = re.compile(r"(?m)^\}").search(text, start.end())
        head = text[start.start():end.end() if end else start.end()]
        if end and not re.match(rf"{name}\([^{{]*\)[^{{]*;", head):
            yield start.start(), end.end()
    for start in re.finditer(rf"(?m)^#define {name}\b(.*\\\n)*.*$", text):
        yield start.start(), start.end()


def find(edit, files):
    """The places where the text stands, as (file, start, end)."""
    found = []
    for path, text in files.items():
        for start, end in bodies(text, edit.function):
            found += [(path, m.start(), m.end())
                      for m in edit.pattern().finditer(text, start, end)]
    return found


def apply(fault, files):
    """The files that the fault changes, and what they are with it."""
    changed = {}
    for edit in fault.edits:
        now = {**files, **changed}
        found = find(edit, now)
        if len(found) != 1:
            raise Error(f"{fault}: its text stands {len(found)} times in "
                        f"{edit.function}(), not once")
        path, start, end = found[0]
        after = "\n".join(edit.after).strip()
        changed[path] = now[path][:start] + after + now[path][end:]
    return changed


# --- building and running ----------------------------------------------------

def copy_tree(to):
    """Makes a copy the same as the tree; what is the same already keeps its time."""
    wanted = set()
    for part in COPIED:
        top = ROOT / part
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            if "__pycache__" in path.parts or not path.is_file():
                continue
            target = to / path.relative_to(ROOT)
            wanted.add(target)
            if target.exists() and target.read_bytes() == path.read_bytes():
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    for part in COPIED:
        for path in (to / part).rglob("*"):
            if path.is_file() and path not in wanted and \
                    "__pycache__" not in path.parts:
                path.unlink()


def environment():
    env = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
    # Of make that runs us: its options are not for the copies.
    for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "FLAVOUR", "TTYBRIDGED", "FAULTS"):
        env.pop(name, None)
    if Path("/usr/lib/ccache").is_dir():
        env["PATH"] = "/usr/lib/ccache:" + env["PATH"]
        env.setdefault("CCACHE_NOHASHDIR", "1")
    env.setdefault("BOARDS", str(ROOT / "build/boards"))
    return env


def execute(tree, argv, limit=LIMIT):
    """(exit status, output); a process that takes too long is killed: status None."""
    process = subprocess.Popen(
        argv, cwd=tree, env=environment(), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace", start_new_session=True)
    try:
        output, _ = process.communicate(timeout=limit)
        return process.returncode, output
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return None, process.communicate()[0]


def targets(tests):
    """What has to be built for the tests."""
    want = set()
    for test in tests:
        want |= {f"build/san/{test}"} if test.startswith("unit/") else \
            {"build/san/ttybridged", "build/san/ttybridgectl", "build/san/ttybridge-tls.so",
             "build/fault.so", "build/libnss_ttybridge.so.2"}
    return sorted(want)


def build(tree, tests):
    status, output = execute(
        tree, ["make", "-s", "FLAVOUR=san", *targets(tests)], 2 * LIMIT)
    if status != 0:
        raise Error("it does not compile:\n" + output[-2000:])


def passes(tree, test):
    """Whether the test passes."""
    if test.startswith("unit/"):
        status, output = execute(tree, [f"build/san/{test}"])
        return status == 0, output
    status, output = execute(
        tree, ["/usr/bin/python3", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider",
               f"tests/{test}"])
    if status not in (0, 1, None) or (status == 0 and " passed" not in output):
        raise Error(f"{test} cannot be run:\n{output[-2000:]}")
    return status == 0, output


def unnoticed(tree, fault):
    """The tests that pass in spite of the fault."""
    changed = apply(fault, sources(tree))
    before = {path: path.read_text() for path in changed}
    try:
        for path, text in changed.items():
            path.write_text(text)
        build(tree, fault.tests)
        return [t for t in fault.tests if passes(tree, t)[0]]
    finally:
        for path, text in before.items():
            path.write_text(text)


class Run:
    def __init__(self, faults, jobs):
        self.faults, self.jobs = list(faults), jobs
        self.lock = threading.Lock()
        self.bad = self.noticed = 0

    def say(self, fault, result, since, bad=False):
        with self.lock:
            self.bad += bad
            self.noticed += not bad
            print(f"{'BAD ' if bad else 'ok  '} {fault.name}: {result} "
                  f"({time.monotonic() - since:.1f} s)", flush=True)

    def one(self, tree, fault):
        since = time.monotonic()
        try:
            left = unnoticed(tree, fault)
        except Error as e:
            self.say(fault, e, since, bad=True)
            return
        if left:
            self.say(fault, f"SURVIVES {', '.join(left)}", since, bad=True)
        else:
            self.say(fault, "noticed by " + ", ".join(fault.tests), since)

    def work(self, tree):
        while True:
            with self.lock:
                if not self.faults:
                    return
                fault = self.faults.pop(0)
            self.one(tree, fault)

    def run(self):
        trees = [ROOT / "build/mutants" / str(i) for i in range(self.jobs)]
        for tree in trees:
            copy_tree(tree)
        threads = [threading.Thread(target=self.work, args=[t]) for t in trees]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def check_without_fault(faults):
    tests = sorted({t for f in faults for t in f.tests})
    tree = ROOT / "build/mutants/0"
    copy_tree(tree)
    build(tree, tests)
    ends = [f"tests/{t}" for t in tests if not t.startswith("unit/")]
    for test in (t for t in tests if t.startswith("unit/")):
        good, output = passes(tree, test)
        if not good:
            raise Error(f"{test} fails without a fault:\n{output[-4000:]}")
    if ends:
        status, output = execute(
            tree, ["/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider",
                   *ends], None)
        if status != 0:
            raise Error(f"tests fail without a fault:\n{output[-4000:]}")
    print(f"{len(tests)} tests pass without a fault", flush=True)


def main():
    parser = argparse.ArgumentParser(
        description="Plants faults, and runs the tests that have to notice them.")
    parser.add_argument("words", nargs="*", metavar="WORD",
                        help="only faults with it in their name or file")
    parser.add_argument("--check", action="store_true",
                        help="only whether all faults apply to the source")
    parser.add_argument("--tree", type=Path,
                        help="apply the one fault to this tree, and leave it so")
    parser.add_argument("--jobs", type=int, default=1, help="faults at a time")
    parser.add_argument("--trust", action="store_true",
                        help="do not run the tests without a fault first")
    args = parser.parse_args()
    faults = read_faults(args.words)
    if not faults:
        raise Error("no fault is called so")
    if args.tree:
        if len(faults) != 1:
            raise Error(f"--tree is for one fault, not {len(faults)}")
        for path, text in apply(faults[0], sources(args.tree)).items():
            path.write_text(text)
        return 0
    files, wrong = sources(ROOT), []
    for fault in faults:
        try:
            apply(fault, files)
        except Error as e:
            wrong.append(str(e))
    if wrong:
        raise Error("\n".join(wrong))
    equivalent = [f for f in faults if f.equivalent]
    faults = [f for f in faults if not f.equivalent]
    if args.check:
        print(f"{len(faults)} faults apply, and {len(equivalent)} that are equivalent")
        return 0
    if not args.trust and faults:
        check_without_fault(faults)
    run = Run(faults, args.jobs)
    run.run()
    print(f"{run.noticed} faults were noticed, {run.bad} were not; "
          f"{len(equivalent)} are equivalent")
    return 1 if run.bad else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Error as e:
        sys.exit(f"mutants: {e}")
