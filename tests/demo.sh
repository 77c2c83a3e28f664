#!/bin/sh
#
# usage: demo.sh TTYBRIDGED BOARDS
#
# Two emulated Arduinos, and the daemon between them.  Shows the bytes on both
# lines for a second, then what passes and, every two seconds, the daemon's task
# table, asked for with netcat.  Ends after DEMO_SECONDS (15), or at Ctrl-C, with
# a summary that the daemon and the boards both have a say in.  Exit status: 0
# when messages passed and none was lost.

set -eu

# As they were given, for those who want to try them.
given=$1 given_ctl=$(dirname "$1")/ttybridgectl
daemon=$(realpath "$1")
boards=$(realpath "$2")
conf=$(realpath "$(dirname "$0")/../conf/demo.conf")
seconds=${DEMO_SECONDS:-15}
dir=$(mktemp -d -t demo.XXXX)
port=${DEMO_PORT:-5010}
web=9110
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

# Cuts lines to the terminal's width.
fit() {
	awk -v columns="$columns" '
		length > columns { $0 = substr($0, 1, columns - 3) "..." }
		{ print }'
}

# Lets go of all that was started, whatever happened.
clean_up() {
	cd /
	trap - EXIT INT TERM HUP
	for pid in $pids; do
		kill "$pid" 2>/dev/null || :
	done
	wait
	rm -rf "$dir"
}

fail() {
	echo "demo: $*" >&2
	[ ! -s daemon.log ] || tail -n 20 daemon.log >&2
	exit 1
}

# start NAME COMMAND...: with input and output in files; in a session of
# its own, so that Ctrl-C is for this script alone; and not for longer than the
# demo can last.
start() {
	name=$1
	shift
	: >>"$name.in"
	setsid timeout --foreground $((seconds + 60)) "$@" <"$name.in" >"$name.log" 2>&1 &
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

# The first port from that number on that nobody listens on.
free_port() {
	free=$1
	while nc -z 127.0.0.1 "$free" 2>/dev/null; do
		free=$((free + 1))
		[ "$free" -lt $(($1 + 20)) ] || fail "no free port before $free"
	done
	echo "$free"
}

start_all() {
	start ping "$boards/avrboard" -br -l ttyPING "$boards/Ping.elf"
	start pong "$boards/avrboard" -br -l ttyPONG "$boards/PongCobs.elf"
	until_true 10 'the Ping board did not start' test -e ttyPING
	until_true 10 'the Pong board did not start' test -e ttyPONG
	port=$(free_port "$port")
	web=$(free_port "$web")
	sed "s|/tmp/demo|$dir|; s/:5010/:$port/; s/:9110/:$web/" "$conf" >demo.conf
	start daemon "$daemon" -c demo.conf
	daemon_pid=${pids%% *}
	until_true 10 'the daemon did not start' answers
	# Without -N, so that nc does not end with its input.
	echo watch >messages.in
	start messages nc 127.0.0.1 "$port"
}

introduce() {
	cat <<-END
	${bold}ttybridged: two Arduinos with different protocols talk to each other$plain

	  ping   9600 baud     lines          sends "ping N got M", awaits "pong N"
	  pong   115200 baud   COBS frames    answers

	  A page shows the same: http://127.0.0.1:$web/
	END
}

# The bytes on both lines for a second.  What is read in several pieces is joined: a line
# ends with 0a, a COBS frame with 00.
show_bytes() {
	heading Bytes "echo watch -b -x ping pong | nc 127.0.0.1 $port"
	timeout 1 sh -c "echo watch -b -x ping pong | nc 127.0.0.1 $port" >bytes.log || :
	awk -v columns="$columns" '
		$2 == "ping" { end = "0a" }
		$2 == "pong" { end = "00" }
		{
			key = $2 $3
			if (!(key in begin))
				begin[key] = $1
			for (i = 5; i <= NF; i++)
				bytes[key] = bytes[key] " " $i
			if ($NF != end)
				next
			if (begin[key] != "" && whole[key]++ && shown < 8 && (shown || key == "pingin")) {
				shown++
				print substr(begin[key], 1, 12) "  " $2 \
				    ($3 == "in" ? "  received" : "  sent    ") bytes[key]
			}
			delete begin[key]
			bytes[key] = ""
		}' bytes.log | fit
	printf '%s(lines end with 0a, COBS frames with 00 and contain no other 00)%s\n' \
	    "$dim" "$plain"
	shown=$(wc -l <messages.log)
}

# What passed since the last time, but of all that only two pairs.
show_messages() {
	total=$(wc -l <messages.log)
	heading Messages "echo watch | nc 127.0.0.1 $port"
	tail -n 5 messages.log | awk '$2 == "ping" { n++ } n && m++ < 4' | fit
	printf '%s(the last 4 of %d in 2 seconds)%s\n' "$dim" \
	    $((total - shown)) "$plain"
	shown=$total
}

# A narrow terminal gets the table without STATE, RUNS, CPU and MAX: the label
# matters more.
show_tasks() {
	heading Tasks "printf 'ps\\n' | nc -N 127.0.0.1 $port"
	ask ps | awk -v columns="$columns" '
		NR == 1 {
			state = index($0, "STATE"); awaiting = index($0, "AWAITING")
			runs = index($0, "RUNS"); label = index($0, "LABEL")
		}
		$0 == "OK" { next }
		columns < 110 {
			$0 = substr($0, 1, state - 1) \
			    substr($0, awaiting, runs - awaiting) substr($0, label)
		}
		{ print }' | fit
}

watch_it() {
	left=$((seconds - 1))
	show_bytes
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

# What the board itself says: its last ping, the answers it had counted, and
# those that were odd.
board_count() {
	sed -n 's/.*ping \([0-9]*\) got \([0-9]*\)\( odd \([0-9]*\)\)*.*/\1 \2 \4/p' \
	    messages.log | tail -n 1 | awk '{ print $1, $2, $3 + 0 }'
}

# Bytes that the boards know to be lost, from the line they end with.
lost_bytes() {
	sed -n 's/.* lost \([0-9]*\) .*/\1/p' ping.log pong.log |
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

	printf '\n%sSummary%s\n' "$bold" "$plain"
	printf '  ping to pong   %5d messages, %d lost\n' "$2" "$there"
	printf '  pong to ping   %5d messages, %d lost\n' "$4" "$back"
	printf '  the daemon     %5d frames dropped or broken\n' "$dropped"
	printf '  the boards     %5d pings answered, %d missed, %d odd answers, ' \
	    "${12}" "$missed" "${13}"
	printf '%d bytes lost\n' "$bytes"
	lost=$((there + back + dropped + missed + ${13} + bytes))
	printf '\n  %slost: %d%s\n' "$bold" "$lost" "$plain"
	[ "$lost" -eq 0 ] && [ "${12}" -gt 0 ] || exit 1
}

# What works as it is printed.
say_what_to_try() {
	printf '\n%sNow try:%s\n\n' "$bold" "$plain"
	while IFS='|' read -r command what; do
		printf '  %-51s %s# %s%s\n' "$command" "$dim" "$what" "$plain"
	done <<-END
	$given --list-ports|the ports of this machine
	$given pty:/tmp/left pty:/tmp/right|a virtual pair
	make demo DEMO_SECONDS=300|longer; meanwhile:
	$given_ctl -H 127.0.0.1:$port top|the whole screen; q ends it
	$given_ctl -H 127.0.0.1:$port watch|messages; Ctrl-C ends it
	END
}

command -v nc >/dev/null || fail 'needs nc (netcat-openbsd)'
trap clean_up EXIT
trap 'interrupted=yes' INT TERM HUP
cd "$dir"
start_all
introduce
watch_it
summarize
say_what_to_try
