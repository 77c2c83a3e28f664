"""`make dist`, `make deb` and the image of conf/Dockerfile, as their users see them."""
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from harness import BINARY, ROOT, run
from test_install import make, program  # noqa: F401

VERSION = re.search(r"^VERSION = (\S+)", (ROOT / "Makefile").read_text(), re.M)[1]
ARCHIVE = f"build/ttybridge-{VERSION}.tar.gz"
TOOLS = "dpkg-buildpackage", "dh", "dh_installsysusers"
SOURCES = sorted((ROOT / "src").glob("*/*.c"))


def output(*words, **kwargs):
    return subprocess.run([str(w) for w in words], check=True, stdout=subprocess.PIPE,
                          text=True, timeout=120, **kwargs).stdout


def copy_of_the_source(directory):
    """What a source archive has, of the files that are here; without the time of a commit."""
    directory.mkdir(parents=True)
    files = subprocess.Popen(
        ["tar", "-c", "--exclude=./build", "--exclude=./.git", "--exclude=__pycache__", "."],
        cwd=ROOT, stdout=subprocess.PIPE)
    subprocess.run(["tar", "-x"], cwd=directory, stdin=files.stdout, check=True, timeout=120)
    assert files.wait() == 0
    (directory / "conf/commit-time").write_text("$Format:%ct$\n")
    return directory


def commit(directory):
    who = "-c", "user.name=a", "-c", "user.email=a@b.invalid", "-c", "commit.gpgsign=false"
    env = {**os.environ, "GIT_AUTHOR_DATE": "1700000000 +0100",
           "GIT_COMMITTER_DATE": "1700000000 +0100", "GIT_CONFIG_GLOBAL": "/dev/null"}
    for words in (["init", "-q"], ["add", "-A"], [*who, "commit", "-q", "-m", "all"]):
        output("git", *words, cwd=directory, env=env)


def dist(tree, **variables):
    done = make("dist", tree=tree, **variables)
    assert done.returncode == 0, done.stderr
    return (tree / ARCHIVE).read_bytes()


def unpack(archive, directory):
    directory.mkdir(parents=True)
    subprocess.run(["tar", "-xz"], cwd=directory, input=archive, check=True, timeout=120)
    return directory / f"ttybridge-{VERSION}"


# --- the source archive ------------------------------------------------------

@pytest.mark.skipif(not shutil.which("git"), reason="there is no git here")
def test_a_source_archive_is_the_same_wherever_and_whenever_it_is_made(directory):
    one = copy_of_the_source(directory / "one")
    two = copy_of_the_source(directory / "another/two")
    commit(one)
    # Another order of creation, time, mask and zone.
    for path in sorted(two.glob("src/*/*.c"), reverse=True):
        path.write_bytes(path.read_bytes())
        path.chmod(0o600)
    mask = os.umask(0o077)
    try:
        commit(two)
        again = dist(two, TZ="Asia/Tokyo", LANG="C")
    finally:
        os.umask(mask)
    first = dist(one)
    assert first == again
    # It is also what an unpacked one makes, without git, and inside of another repository.
    tree = unpack(first, one / "build/unpacked")
    assert (tree / "conf/commit-time").read_text() == "1700000000\n"
    assert not (tree / ".git").exists()
    assert {int(p.stat().st_mtime) for p in tree.rglob("*") if p.is_file()} == {1700000000}
    (tree / "tests/e2e/__pycache__").mkdir()
    assert dist(tree) == first


# --- the Debian package ------------------------------------------------------

@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The directory of what `make deb` makes, in an unpacked source archive."""
    if not all(map(shutil.which, TOOLS)):
        pytest.skip("there is no debhelper here")
    tree = copy_of_the_source(tmp_path_factory.mktemp("deb") / "tree")
    (tree / "conf/commit-time").write_text("1700000000\n")
    done = make("deb", tree=tree, DEB_BUILD_OPTIONS="nocheck")
    assert done.returncode == 0, done.stderr
    return tree / "build/deb"


def control_of(package):
    text = output("dpkg-deb", "--field", *package.glob("ttybridge_*.deb"))
    return dict(re.findall(r"(?m)^([\w-]+): (.*)$", text))


def test_the_package_has_what_is_installed(package, program, directory):
    deb, = package.glob("ttybridge_*.deb")
    subprocess.run(["dpkg-deb", "--raw-extract", deb, directory / "deb"], check=True)
    done = make("install", f"DESTDIR={directory}/installed", "PREFIX=/usr")
    assert done.returncode == 0, done.stderr
    packaged, installed = (
        {str(path.relative_to(top)).removesuffix(".gz") for path in top.glob("**/*")
         if not path.is_dir() and path.parent.name != "DEBIAN"}
        for top in (directory / "deb", directory / "installed"))
    documents = {f"usr/share/doc/ttybridge/{name}" for name in
                 ("copyright", "changelog.Debian", "README.Debian", "README.md")}
    assert packaged == installed | documents
    about = directory / "deb/DEBIAN"
    assert (about / "conffiles").read_text() == "/etc/ttybridge/ttybridge.conf\n"
    for script in ("postinst", "prerm", "postrm"):
        subprocess.run(["sh", "-n", about / script], check=True)
    assert "try-restart 'ttybridge.service'" in (about / "postinst").read_text()
    assert "restart 'ttybridge.socket'" not in (about / "postinst").read_text()


def test_the_package_depends_on_what_is_linked_and_recommends_the_rest(package):
    control = control_of(package)
    assert control["Version"].split("-")[0] == run("--version").stdout.split()[1]
    for library in ("libc6", "libevent-core", "libserialport0", "libncursesw6"):
        assert library in control["Depends"]
    for library in ("libssl", "libevent-openssl"):
        assert library in control["Recommends"] and library not in control["Depends"]
    for package in loaded_packages():
        assert package in control["Recommends"]


def loaded_packages():
    """Of the libraries whose names are in the source."""
    names = {name for file in SOURCES
             for name in re.findall(r'"(lib[a-z0-9-]+\.so\.[\d.]+)"', file.read_text())}
    assert len(names) >= 3
    return {packaged(name) for name in names}


def packaged(library):
    return output("dpkg", "-S", f"*/{library}").split(":")[0]


def test_the_source_package_is_complete(package):
    names = {path.name for path in package.iterdir()}
    version = control_of(package)["Version"]
    assert {f"ttybridge_{VERSION}.orig.tar.gz", f"ttybridge_{version}.debian.tar.xz",
            f"ttybridge_{version}.dsc"} <= names
    archive = package.parent / f"ttybridge-{VERSION}.tar.gz"
    assert (package / f"ttybridge_{VERSION}.orig.tar.gz").read_bytes() == archive.read_bytes()
    changes = output("tar", "-xJOf", package / f"ttybridge_{version}.debian.tar.xz",
                     "debian/changelog")
    assert changes.endswith("Tue, 14 Nov 2023 22:13:20 +0000\n")


def test_lintian_has_neither_errors_nor_warnings(package):
    if not shutil.which("lintian"):
        pytest.skip("there is no lintian here")
    changes, = package.glob("*.changes")    # which names all the others
    done = subprocess.run(
        ["lintian", "--pedantic", "--allow-root", changes], text=True, timeout=300,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said = [line for line in done.stdout.splitlines() if not line.startswith(("N:", "P:"))]
    assert said == []


def test_the_tests_of_the_package_can_be_run(directory):
    tests = ROOT / "conf/deb/tests"
    names = re.findall(r"(?m)^Tests: (\w+)$", (tests / "control").read_text())
    assert {path.name for path in tests.iterdir()} == {*names, "control", "common"}
    for name in names:
        subprocess.run(["sh", "-n", tests / name], check=True)
        assert os.access(tests / name, os.X_OK)


def test_the_test_of_a_bridge_passes(directory):
    env = {**os.environ, "AUTOPKGTEST_TMP": str(directory),
           "PATH": f"{Path(BINARY).parent}:{os.environ['PATH']}"}
    done = subprocess.run([ROOT / "conf/deb/tests/bridge"], env=env, text=True, timeout=120,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert (done.returncode, done.stdout) == (0, "")


# --- the image of a container ------------------------------------------------

IMAGE = ROOT / "conf/Dockerfile"
INSTRUCTIONS = {"FROM", "RUN", "WORKDIR", "COPY", "USER", "VOLUME", "HEALTHCHECK", "CMD",
                "ENTRYPOINT", "ENV", "ARG", "EXPOSE", "LABEL", "STOPSIGNAL", "ADD", "SHELL"}


def instructions():
    """[(instruction, arguments)] of the file, with continued lines joined."""
    text = re.sub(r"(?m)^\s*#.*\n", "", IMAGE.read_text())
    text = re.sub(r"\\\n\s*", "", text)
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]


def stages():
    """The instructions of each stage, after its FROM."""
    found = []
    for word, rest in instructions():
        if word == "FROM":
            found.append([])
        found[-1].append((word, rest))
    return found


def test_the_image_has_known_instructions_and_commands_that_a_shell_reads():
    for word, rest in instructions():
        assert word in INSTRUCTIONS, word
        if word == "RUN":
            subprocess.run(["sh", "-n", "-c", rest], check=True)
        if word in ("ENTRYPOINT", "VOLUME"):
            assert re.fullmatch(r'\["[^"]+"(, "[^"]+")*\]', rest)


def test_the_image_copies_what_exists(program, directory):
    done = make("install", f"DESTDIR={directory}", "PREFIX=/usr")
    assert done.returncode == 0, done.stderr
    names = [rest.split(" AS ")[1] for word, rest in instructions() if " AS " in rest]
    for word, rest in instructions():
        if word != "COPY":
            continue
        *options, source, target = shlex.split(rest)
        stage = [o.removeprefix("--from=") for o in options]
        assert all(s in names for s in stage)
        top = directory if stage else ROOT
        assert (top / source.removeprefix("/image").lstrip("/")).exists(), source
        assert target.startswith("/") or not stage


def test_the_image_is_built_in_stages_and_does_not_run_as_root():
    assert len(stages()) == 2
    last = dict(stages()[-1])
    user = last["USER"].split(":")[0]
    assert user not in ("root", "0")
    assert re.search(rf"\buseradd [^&]* {user}\b", last["RUN"])
    assert '"ttybridgectl"' in last["HEALTHCHECK"]
    assert last["ENTRYPOINT"] == '["ttybridged"]'
    for major in (166, 188):
        assert f"--device-cgroup-rule='c {major}:* rmw'" in IMAGE.read_text()


@pytest.mark.skipif(not shutil.which("dpkg"), reason="there is no dpkg here")
def test_the_image_has_the_libraries(program):
    built = ROOT / "build/plain"
    files = [built / "ttybridged", built / "ttybridgectl", *built.glob("*.so")]
    needed = {name for file in files for name in
              re.findall(r"NEEDED +(\S+)", output("objdump", "-p", file))}
    packages = {packaged(name) for name in needed} | loaded_packages()
    said = set(dict(stages()[-1])["RUN"].split())
    assert packages - {"libc6"} <= said
    assert {w for w in said if w.startswith("lib")} <= packages
