#!/bin/sh
# Each fuzz target under libFuzzer for so many seconds, from and into a copy of its
# corpus; a finding is left in build/fuzz.
set -eu
cd "$(dirname "$0")/.."
for t in build/fuzz/fuzzer/fuzz_*; do
	name=$(basename "$t" | sed 's/^fuzz_//')
	mkdir -p build/fuzz/corpus/"$name"
	"$t" -max_total_time="$1" -max_len=8192 -print_final_stats=1 \
	    -artifact_prefix=build/fuzz/"$name"- \
	    build/fuzz/corpus/"$name" tests/fuzz/corpus/"$name"
done
