#!/bin/sh
# All tests, after `make check` has built what they need.  Ends at the first failure.
set -eu
cd "$(dirname "$0")/.."
export ASAN_OPTIONS=abort_on_error=0:detect_stack_use_after_return=1
export UBSAN_OPTIONS=print_stacktrace=1

step() {
	printf '\n== %s\n' "$*"
}

step lint
tests/lint.sh

# Prints what a command wrote only if it fails.
quiet() {
	"$@" >build/check.log 2>&1 || { cat build/check.log; exit 1; }
}

step planted faults
tests/mutants/run.py --check

step unit tests
for t in build/san/unit/test_*; do
	case $t in *.d) continue ;; esac
	quiet "$t"
	grep 'PASSED' build/check.log | sed "s,^,$(basename "$t") ,"
done

step fuzz corpora
for t in build/san/replay/fuzz_*; do
	name=$(basename "$t" | sed 's/^fuzz_//')
	quiet "$t" tests/fuzz/corpus/"$name"
	echo "$name: $(find tests/fuzz/corpus/"$name" -type f | wc -l) files"
done

step configurations that we ship
# The certificates that they name.
tls=build/check.tls
mkdir -p $tls
quiet openssl req -x509 -newkey rsa:2048 -nodes -days 90 -subj /CN=check \
	-keyout $tls/server.key -out $tls/server.crt
cp $tls/server.crt $tls/ca.crt
for f in conf/*.conf conf/examples/*.conf; do
	sed "s,= /etc/ttybridge/\(server\|ca\)\.,= $PWD/$tls/\1.," "$f" >build/check.conf
	build/san/ttybridged --check -c build/check.conf
	echo "$f"
done

step end to end
TTYBRIDGED=build/san/ttybridged BOARDS=build/boards \
	/usr/bin/python3 -m pytest -q -rfEs -p no:cacheprovider -n 2 \
	--dist loadfile tests/e2e

step fleet
for kill in "" --kill; do
	/usr/bin/python3 tests/fleet/fleet.py --hosts 20 --ptys 5 --seconds 15 $kill
done

step valgrind
tests/valgrind.sh build/plain/ttybridged

step what a frame costs
tests/bench/guard.py

step done
