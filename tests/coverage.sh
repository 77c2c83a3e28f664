#!/bin/sh
# What the tests reach of src/: lines and branches, by file.
set -eu
cd "$(dirname "$0")/.."
find build/cov -name '*.gcda' -exec rm -f {} +

for t in build/cov/unit/test_*; do
	[ ! -x "$t" ] || "$t" >/dev/null 2>&1 || echo "failed: $t"
done
for t in build/cov/replay/fuzz_*; do
	"$t" tests/fuzz/corpus/"$(basename "$t" | sed 's/^fuzz_//')" >/dev/null 2>&1
done
TTYBRIDGED=build/cov/ttybridged BOARDS=build/boards \
	/usr/bin/python3 -m pytest -q -p no:cacheprovider tests/e2e || :
gcovr -r . --object-directory build/cov -f src/
