#!/bin/sh
# One run of the daemon as it is installed under valgrind: lines through two ptys, a
# reload, the control port, a clean end.
set -eu
daemon=$1
dir=$(mktemp -d)
trap 'kill $pid 2>/dev/null || :; rm -rf "$dir"' EXIT
pid=

cat >"$dir/conf" <<EOF
[control main]
listen = unix:$dir/control
[pty a]
link = $dir/a
framing = line
[pty b]
link = $dir/b
framing = cobs
[echo mirror]
[tcp-server lan]
listen = 127.0.0.1:0
EOF
valgrind -q --error-exitcode=99 --leak-check=full --track-fds=no \
	"$daemon" -c "$dir/conf" 2>"$dir/log" &
pid=$!
n=0
until [ -S "$dir/control" ] && [ -L "$dir/b" ]; do
	n=$((n + 1))
	[ $n -lt 600 ] || { cat "$dir/log"; exit 1; }
	sleep 0.1
done
ask() {
	printf '%s\n' "$@" | nc -U -N "$dir/control"
}
ask 'send a hello' 'send b hello' ps 'json endpoints' list >/dev/null
printf '[pty c]\nlink = %s/c\n' "$dir" >>"$dir/conf"
ask reload | grep -q '^OK$'
ask endpoints | grep -q '^c '
kill -TERM $pid
if wait $pid; then
	echo "valgrind: no errors, no leaks"
else
	cat "$dir/log"
	exit 1
fi
