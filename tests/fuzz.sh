#!/bin/sh
# fuzz.sh SECONDS: each fuzz target under libFuzzer for so long, from and into a copy of
# its corpus; a finding is left in build/fuzz.  With FRAMING=NAME in the environment
# only the framings, held to that one; with FRAMING=each to one after the other.
set -eu
cd "$(dirname "$0")/.."
seconds=$1

run() {
	mkdir -p build/fuzz/corpus/"$2"
	echo "== $2"
	build/fuzz/fuzzer/fuzz_"$1" -max_total_time="$seconds" -max_len=8192 \
	    -len_control=100 -print_final_stats=1 \
	    -artifact_prefix=build/fuzz/"$2"- build/fuzz/corpus/"$2" tests/fuzz/corpus/"$1"
}

export FRAMING="${FRAMING:-}"
case $FRAMING in
'')
	for t in build/fuzz/fuzzer/fuzz_*; do
		name=${t##*/fuzz_}
		run "$name" "$name"
	done ;;
each)
	for v in tests/vectors/*.txt; do
		FRAMING=$(basename "$v" .txt)
		run framing framing-"$FRAMING"
	done ;;
*)
	run framing framing-"$FRAMING" ;;
esac
