#!/bin/sh
# What the tests reach of src/, by file: at least 90 % of lines and 80 % of branches, and
# every test has to pass.  The daemon writes its counters when it ends, and when it
# starts itself again; not when it is killed.
set -eu
cd "$(dirname "$0")/.."
status=0
find build/cov -name '*.gcda' -exec rm -f {} +

run() {
	"$@" >build/cov/log 2>&1 || {
		cat build/cov/log
		echo "failed: $*"
		status=1
	}
}

for t in build/cov/unit/test_*; do
	[ ! -x "$t" ] || run "$t"
done
for t in build/cov/replay/fuzz_*; do
	[ ! -x "$t" ] ||
		run "$t" tests/fuzz/corpus/"$(basename "$t" | sed 's/^fuzz_//')"
done
TTYBRIDGED=build/cov/ttybridged BOARDS=build/boards TTYBRIDGE_FAULTS=6 \
	/usr/bin/python3 -m pytest -q -rs -p no:cacheprovider tests/e2e || status=1
gcovr -r . --object-directory build/cov -f src/ --print-summary \
	--fail-under-line 90 --fail-under-branch 80 || status=1
exit $status
