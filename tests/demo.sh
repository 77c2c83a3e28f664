#!/bin/sh
#
# usage: demo.sh TTYBRIDGED BOARDS
#
# Two emulated Arduinos, and the daemon between them.  Shows what passes and, every two
# seconds, the daemon's task table, asked for with netcat.  Ends after DEMO_SECONDS (15),
# or at Ctrl-C, with a summary that the daemon and the boards both have a say in.
# Exit status: 0 when messages passed and none was lost.

set -eu

daemon=$(realpath "$1")
boards=$(realpath "$2")
conf=$(dirname "$0")/../conf/demo.conf
seconds=${DEMO_SECONDS:-15}
dir=$(mktemp -d -t ttybridge-demo.XXXXXX)
port=5010
pids=
interrupted=

if [ -t 1 ]; then
	bold=$(printf '\033[1m') dim=$(printf '\033[2m') plain=$(printf '\033[0m')
	columns=$(tput cols 2>/dev/null || echo 80)
else
	bold='' dim='' plain='' columns=120
fi

heading() {
	printf '\n%s%s%s  %s%s%s\n' "$bold" "$1" "$plain" "$dim" "$2" "$plain"
}

# Lets go of all that was started, whatever happened.
clean_up() {
	trap - EXIT INT TERM HUP
	for pid in $pids; do
		kill "$pid" 2>/dev/null || :
	done
	wait
	rm -rf "$dir"
}

fail() {
	echo "demo: $*" >&2
	[ ! -s "$dir/daemon.log" ] || tail -n 20 "$dir/daemon.log" >&2
	exit 1
}

# start NAME COMMAND...: with input and output in files, in a process group of its own, so
# that Ctrl-C is for this script alone, and not for longer than the demo can last.
start() {
	name=$1
	shift
	: >>"$dir/$name.in"
	timeout $((seconds + 60)) "$@" <"$dir/$name.in" >"$dir/$name.log" 2>&1 &
	pids="$! $pids"
}

# until_true SECONDS WHAT COMMAND...: polls.
until_true() {
	tries=$(($1 * 20)) what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || fail "$what"
		sleep 0.05
	done
}

ask() {
	printf '%s\n' "$1" | nc -N 127.0.0.1 "$port"
}

answers() {
	ask version | grep -q '^OK$'
}

# The values of some attributes, on one line.
values() {
	for path; do
		printf 'get %s\n' "$path"
	done | nc -N 127.0.0.1 "$port" | grep -v '^OK$' | tr '\n' ' '
}

find_port() {
	while nc -z 127.0.0.1 "$port" 2>/dev/null; do
		port=$((port + 1))
		[ "$port" -lt 5030 ] || fail 'no free port from 5010 on'
	done
}

start_all() {
	start ping "$boards/avrboard" -br -l "$dir/ttyPING" "$boards/Ping.elf"
	start pong "$boards/avrboard" -br -l "$dir/ttyPONG" \
	    "$boards/PongCobs.elf"
	until_true 10 'the Ping board did not start' test -e "$dir/ttyPING"
	until_true 10 'the Pong board did not start' test -e "$dir/ttyPONG"
	find_port
	sed "s|/tmp/ttybridge-demo|$dir|; s|:5010|:$port|" "$conf" \
	    >"$dir/demo.conf"
	start daemon "$daemon" -c "$dir/demo.conf"
	daemon_pid=${pids%% *}
	until_true 10 'the daemon did not start' answers
	# Without -N, so that nc does not end with its input.
	echo watch >"$dir/messages.in"
	start messages nc 127.0.0.1 "$port"
}

introduce() {
	cat <<-END
	${bold}ttybridged: two Arduinos that speak different protocols talk to each other$plain

	  ping   9600 baud     lines          sends "ping N got M", awaits "pong N"
	  pong   115200 baud   COBS frames    answers
	END
}

# What passed since the last time, but not all of it.
show_messages() {
	total=$(wc -l <"$dir/messages.log")
	heading Messages "the last 4 of $((total - shown)) in 2 s, from \`watch\`"
	shown=$total
	tail -n 4 "$dir/messages.log" | cut -c "1-$columns"
}

# A narrow terminal gets the table without RUNS, CPU and MAX: the label matters more.
show_tasks() {
	heading Tasks "printf 'ps\\n' | nc -N 127.0.0.1 $port"
	ask ps | awk -v columns="$columns" '
		NR == 1 { cut = index($0, "RUNS"); label = index($0, "LABEL") }
		$0 == "OK" { next }
		columns < 110 { $0 = substr($0, 1, cut - 1) substr($0, label) }
		{ print substr($0, 1, columns) }'
}

watch_it() {
	shown=0
	left=$seconds
	while [ "$left" -gt 1 ] && [ -z "$interrupted" ]; do
		sleep 2 || :
		[ -z "$interrupted" ] || break
		left=$((left - 2))
		kill -0 "$daemon_pid" 2>/dev/null || fail 'the daemon has ended'
		show_messages
		show_tasks
	done
	[ -n "$interrupted" ] || [ "$left" -le 0 ] || sleep "$left" || :
}

# What the board itself says: the answers it counted, of the pings before its last.
board_count() {
	sed -n 's/.*ping \([0-9]*\) got \([0-9]*\)\( odd \([0-9]*\)\)\{0,1\}.*/\1 \2 0\4/p' \
	    "$dir/messages.log" | tail -n 1
}

# Bytes that the boards know to be lost, from the line they end with.
lost_bytes() {
	sed -n 's/.* lost \([0-9]*\) .*/\1/p' "$dir/ping.log" "$dir/pong.log" |
	    awk '{ n += $1 } END { print NR == 2 ? n : -1 }'
}

stop_all() {
	for pid in $pids; do
		kill "$pid" 2>/dev/null || :
		wait "$pid" 2>/dev/null || [ "$pid" != "$daemon_pid" ] ||
		    fail 'the daemon did not end well'
	done
	pids=
}

summarize() {
	# shellcheck disable=SC2046
	set -- $(values ping/rx_frames pong/tx_frames pong/rx_frames \
	    ping/tx_frames ping/dropped pong/dropped ping/errors pong/errors \
	    ping/queued_frames pong/queued_frames) $(board_count)
	[ $# -eq 13 ] || fail "nothing passed"
	stop_all
	there=$(($1 - $2 - ${10})) back=$(($3 - $4 - $9))
	dropped=$(($5 + $6 + $7 + $8)) missed=$((${11} - 1 - ${12}))
	bytes=$(lost_bytes)

	heading Summary ''
	printf '  ping to pong   %5d messages, %d lost\n' "$2" "$there"
	printf '  pong to ping   %5d messages, %d lost\n' "$4" "$back"
	printf '  the daemon     %5d frames dropped or broken\n' "$dropped"
	printf '  the boards     %5d pings answered, %d missed, %d odd answers, ' \
	    "${12}" "$missed" "${13}"
	printf '%d bytes lost\n' "$bytes"
	lost=$((there + back + dropped + missed + ${13} + bytes))
	printf '\n  %slost: %d%s\n' "$bold" "$lost" "$plain"
	[ "$lost" -eq 0 ] && [ "${12}" -gt 0 ]
}

command -v nc >/dev/null || fail 'needs nc (netcat-openbsd)'
trap clean_up EXIT
trap 'interrupted=yes' INT TERM HUP
introduce
start_all
watch_it
summarize
