#!/bin/sh
#
# What the service promises, under the systemd that runs this script.  Two serial devices are
# played by two more daemons: left has a TCP port behind its pseudo-terminal, right sends
# back what it gets.

set -eu
export PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb
conf=/etc/ttybridge/ttybridge.conf
socket=/run/ttybridge/control.sock
bench=/run/bench
examples=/usr/share/doc/ttybridge/examples
mkdir "$bench"

fail() {
	echo "systemd: FAILED: $*"
	systemctl status --no-pager -l ttybridge || :
	journalctl --no-pager -n 40 -o cat || :
	exit 1
}

passed() {
	echo "systemd: $*"
}

# until_true WHAT COMMAND...: polls.
until_true() {
	what=$1 tries=600
	shift
	until "$@" >/dev/null 2>&1; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || fail "$what"
		sleep 0.05
	done
}

property() {
	systemctl show --value -p "$1" ttybridge
}

# is PROPERTY VALUE
is() {
	[ "$(property "$1")" = "$2" ]
}

must_be() {
	is "$1" "$2" || fail "$1 is '$(property "$1")', not '$2'"
}

ask() {
	printf '%s\n' "$1" | nc -N -U "$socket"
}

# Plugs a device in.
plug_left() {
	ttybridged "pty:$bench/left,mode=0666,framing=line" \
	    tcp-server:127.0.0.1:6001,framing=line 2>"$bench/left.log" &
	left=$!
	until_true 'no left device' test -e "$bench/left"
}

plug_right() {
	ttybridged "pty:$bench/right,mode=0666,framing=cobs" \
	    echo:,framing=line 2>"$bench/right.log" &
	right=$!
	until_true 'no right device' test -e "$bench/right"
}

# Whether a line comes back from the far side of the bridge.
echoes() {
	printf 'over the bridge\n' | nc -N 127.0.0.1 6001 |
	    grep -q '^over the bridge$'
}

# finds PATTERN: the doctor names it.
finds() {
	ttybridgectl doctor >"$bench/doctor" || :
	grep -q "$1" "$bench/doctor" ||
	    { cat "$bench/doctor"; fail "the doctor does not find '$1'"; }
}

finds_nothing() {
	ttybridgectl doctor >"$bench/doctor" ||
	    { cat "$bench/doctor"; fail 'the doctor finds something'; }
}

configure() {
	cat >"$conf" <<-EOF
		[control local]
		listen = unix:$socket
		mode = 0660
		[serial left]
		device = $bench/left
		framing = line
		reopen_max = 250ms
		label = $1
		[serial right]
		device = $bench/right
		framing = cobs
		reopen_max = 250ms
	EOF
}

# --- as it is installed ------------------------------------------------------

# What a package does when it is installed.
systemd-sysusers
systemd-tmpfiles --create ttybridge.conf
ttybridged --check || fail 'the sample configuration has faults'
units=/lib/systemd/system
systemd-analyze verify --man=no ttybridge.service ttybridge.socket \
    ttybridge@x.service || fail 'the units have faults'

# exposure UNIT THRESHOLD: at most so many tenths.
exposure() {
	systemd-analyze security --no-pager --offline=true \
	    --threshold="$2" "$1" >"$bench/score" ||
	    { cat "$bench/score"; fail 'the sandbox is weak'; }
	sed -n 's/^[^O]*Overall exposure level for [^:]*: \([0-9.]*\).*/\1/p' \
	    "$bench/score"
}
cat "$units/ttybridge.service" "$examples/network.conf" >"$bench/network.service"
settings() {
	sed -n '/^User=/,$p' "$1" | grep -v -e '^#' -e '^$' -e '^StateDirectory='
}
settings "$units/ttybridge.service" >"$bench/settings"
settings "$units/ttybridge@.service" | cmp - "$bench/settings" ||
    fail 'ttybridge@.service has another sandbox'
passed "exposure $(exposure "$units/ttybridge.service" 5)," \
    "with a network of its own $(exposure "$bench/network.service" 13)"
systemctl enable --now ttybridge.socket ttybridge ||
    fail 'the sample configuration does not start'
must_be StatusText '0 of 2 endpoints up'
systemctl stop ttybridge.socket ttybridge
passed 'the sample configuration starts without its devices'

# --- start -------------------------------------------------------------------

printf '[serial left]\ndevice = /dev/ttyS0\nbuad = 9600\n' >"$conf"
systemctl start ttybridge 2>/dev/null &&
    fail 'it started with a faulty configuration'
must_be ActiveState failed
must_be ExecMainStatus 2
journalctl -u ttybridge -o cat | grep -q "^$conf:3: unknown key 'buad'" ||
    fail 'the fault is not in the journal'
systemctl reset-failed ttybridge
passed 'a faulty configuration does not start, nor again and again'

plug_left
plug_right
configure first
systemctl start ttybridge || fail 'it does not start'
must_be ActiveState active
must_be Type notify
ask version | grep -q '^OK$' || fail 'active, but it does not answer'
until_true 'not 2 of 2 endpoints up' is StatusText '2 of 2 endpoints up'
systemctl status --no-pager ttybridge |
    grep -q 'Status: "2 of 2 endpoints up"' ||
    fail 'systemctl status has no such line'
passed "active when ready, and the status is \"$(property StatusText)\""

pid=$(property MainPID)
grep -q '^Uid:.0' "/proc/$pid/status" && fail 'it runs as root'
grep -q '^CapEff:.0000000000000000' "/proc/$pid/status" ||
    fail 'it has capabilities'
[ "$(stat -c '%a %G' "$socket")" = '660 dialout' ] ||
    fail "the socket is $(stat -c '%a %G' "$socket")"
passed 'no root, no capabilities, a socket for the group dialout'

until_true 'nothing passes' echoes
passed 'bytes pass'

finds_nothing
chmod 600 "$bench/left"
ask 'reopen left' >/dev/null
finds 'the user ttybridge may not use /run/bench/left'
chmod 666 "$bench/left"
ask 'reopen left' >/dev/null
until_true 'it does not come back' is StatusText '2 of 2 endpoints up'
finds_nothing
passed 'the doctor finds nothing, and a device that the service may not use'

ask 'capture start frames.pcap' | grep -q '^OK$' || fail 'no capture'
until_true 'nothing passes while it is captured' echoes
ask 'capture stop' | grep -q '^frames: [1-9]' || fail 'nothing was captured'
[ -s /var/lib/ttybridge/frames.pcap ] || fail 'the capture is not in the state directory'
passed 'frames are captured to /var/lib/ttybridge'

# --- the journal -------------------------------------------------------------

kill "$right"
wait "$right" || fail 'the right device did not end well'
until_true 'the loss is not in the status' is StatusText '1 of 2 endpoints up'
until_true 'no field ENDPOINT= in the journal' sh -c \
    'journalctl -u ttybridge -o cat ENDPOINT=right | grep -q "up -> lost"'
plug_right
until_true 'it does not come back' is StatusText '2 of 2 endpoints up'
until_true 'nothing passes any more' echoes
passed 'a lost device is in the status and, by ENDPOINT=, in the journal'

# --- reload ------------------------------------------------------------------

yes 'without a pause' 2>/dev/null | nc 127.0.0.1 6001 >/dev/null 2>&1 &
flood=$!
for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
	configure "change $n"
	systemctl reload ttybridge || fail "reload $n was refused"
	[ "$(ask 'get left/label' | head -n 1)" = "change $n" ] ||
	    fail "reload $n was not done when systemctl had ended"
	must_be ActiveState active
done
must_be MainPID "$pid"
kill "$flood"
passed 'a reload under load is done when systemctl has ended, 20 of 20 times'

until_true 'it does not come back' is StatusText '2 of 2 endpoints up'
echo 'buad = 9600' >>"$conf"
line=$(wc -l <"$conf")
systemctl reload ttybridge 2>/dev/null &&
    fail 'systemctl took a faulty file for good'
must_be ActiveState active
must_be SubState running
must_be MainPID "$pid"
property StatusText | grep -q "$conf:$line: unknown key 'buad'" ||
    fail "the status is '$(property StatusText)'"
passed "a faulty file: still active, \"$(property StatusText)\""
echoes || fail 'nothing passes any more'
configure repaired
systemctl reload ttybridge || fail 'the repaired file was refused'
until_true 'the old fault stays' is StatusText '2 of 2 endpoints up'

# --- the watchdog ------------------------------------------------------------

mkdir -p /run/systemd/system/ttybridge.service.d
printf '[Service]\nWatchdogSec=1\n' \
    >/run/systemd/system/ttybridge.service.d/watchdog.conf
systemctl daemon-reload
systemctl restart ttybridge
pid=$(property MainPID)
sleep 2
must_be MainPID "$pid"
must_be NRestarts 0
kill -STOP "$pid"
until_true 'a daemon that hangs is not started again' is NRestarts 1
until_true 'it is not active again' is ActiveState active
until_true 'it is not up again' is StatusText '2 of 2 endpoints up'
[ "$(property MainPID)" != "$pid" ] || fail 'it is the same process'
until_true 'nothing passes any more' echoes
passed 'the watchdog starts a daemon that hangs again'

# --- a restart without loss --------------------------------------------------

/usr/bin/python3 /run/out/restart.py || fail 'a restart was noticed'
/usr/bin/python3 /run/out/restart_net.py || fail 'a client noticed a restart'

# --- TCP ---------------------------------------------------------------------

# journal_has NAME PATTERN: since mark NAME.
journal_has() {
	journalctl -u ttybridge -o cat --cursor-file="$bench/cursor.$1" | grep -q "$2"
}
mark() {
	journalctl -u ttybridge -n 0 --cursor-file="$bench/cursor.$1" >/dev/null
}
configure server
printf '[tcp-server lan]\nlisten = 127.0.0.1:5011\nframing = line\n' >>"$conf"
mark server
systemctl restart ttybridge || fail 'a server without a network stops it'
until_true 'the missing network is not explained' journal_has server \
    'no network.* systemctl edit ttybridge.socket, with ListenStream=127.0.0.1:5011'
printf '[tcp-client far]\nconnect = 127.0.0.1:5012\n[udp out]\nsend_to = 127.0.0.1:5013\n' >>"$conf"
mark client
systemctl restart ttybridge || fail 'a client without a network stops it'
for name in far out; do
	ask "json endpoints" | grep -q "\"$name\"" || fail "$name is not there"
	ask "get $name/error" | grep -q 'has no network.*network.conf' ||
	    fail "$name does not say why: $(ask "get $name/error")"
done
for name in far out; do
	finds "$name needs the network, which ttybridge.service has not"
done
finds 'lan listens on 127.0.0.1:5011, and ttybridge.service has neither'
passed 'without a network, the log and the doctor say how to have one'

# The sequence of ttybridged(8), with an address in the socket unit.
listens() {
	printf 'over TCP\n' | nc -N 127.0.0.1 5011
}
for address in 127.0.0.1:5011 5011; do
	mkdir -p /etc/systemd/system/ttybridge.socket.d
	printf '[Socket]\nListenStream=%s\nListenStream=5019\n' "$address" \
	    >/etc/systemd/system/ttybridge.socket.d/lan.conf
	systemctl daemon-reload
	mark "socket$address"
	systemctl stop ttybridge.socket || fail 'the socket unit does not stop'
	systemctl restart ttybridge || fail 'it does not restart with its socket'
	until_true 'no client over an inherited socket' listens
	until_true 'the unclaimed socket is not named' journal_has \
	    "socket$address" 'inherited socket .*:5019) is closed'
	ask 'get lan/state' | grep -q up || fail 'lan is not up'
	finds 'no section has the inherited socket .*:5019'
done
systemctl stop ttybridge.socket ttybridge
finds 'no section has the inherited socket .*5019'
finds 'systemctl restart ttybridge.service; journalctl'
rm -r /etc/systemd/system/ttybridge.socket.d
systemctl daemon-reload
passed 'a server whose address is in the socket unit serves clients'

# The same by the single file, as the message has it.
install -D -t /etc/systemd/system/ttybridge.service.d "$examples/network.conf"
systemctl daemon-reload
systemctl stop ttybridge.socket
systemctl restart ttybridge
until_true 'no client with the drop-in' listens
passed 'and with network.conf alone'

# --- all types, and the end --------------------------------------------------

configure again
systemctl restart ttybridge
cat >"$conf" <<EOF
[pty chart]
link = /run/ttybridge/chart
group = dialout
[unix-server here]
listen = /run/ttybridge/here
mode = 0660
group = dialout
[tcp-server lan]
listen = 127.0.0.1:5011
[udp shout]
send_to = 127.0.0.1:5012
EOF
systemctl reload ttybridge || fail 'these endpoints were refused'
until_true 'not all endpoints are open' is StatusText '3 of 4 endpoints up'
for file in chart here; do
	[ "$(stat -L -c '%a %G' "/run/ttybridge/$file")" = '660 dialout' ] ||
	    fail "$file is $(stat -L -c '%a %G' "/run/ttybridge/$file")"
done
passed 'all types open in the sandbox, with a group where one is given'

# OpenSSL is loaded, and the files are read, inside the sandbox.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 -subj /CN=here \
    -keyout /etc/ttybridge/server.key -out /etc/ttybridge/server.crt 2>"$bench/openssl.log" ||
    fail "no certificate: $(cat "$bench/openssl.log")"
chown ttybridge /etc/ttybridge/server.key
cat >>"$conf" <<EOF
[tcp-server secret]
listen = 127.0.0.1:5014
tls = yes
tls_cert = /etc/ttybridge/server.crt
tls_key = /etc/ttybridge/server.key
EOF
systemctl reload ttybridge || fail 'a section with TLS was refused'
encrypts() {
	openssl s_client -connect 127.0.0.1:5014 -CAfile /etc/ttybridge/server.crt \
	    </dev/null 2>/dev/null | grep -q 'Verification: OK'
}
until_true 'no client with TLS' encrypts
passed 'a reload adds the first section with TLS'

systemctl stop ttybridge.socket ttybridge
must_be ActiveState inactive
must_be Result success
must_be ExecMainStatus 0
# What was kept for a next process is given up.
until_true 'the pty is still there' test ! -e /run/ttybridge/chart
nc -N -U /run/ttybridge/here </dev/null 2>/dev/null &&
    fail 'somebody still listens on /run/ttybridge/here'
must_be NFileDescriptorStore 0
passed 'a stop is clean'
kill "$left" "$right"
