#!/bin/sh
#
# usage: run.sh service|package
#
# What `make install` installs, or the Debian package that `make deb` has made, under a real
# systemd, in a container whose root is this machine's own under a throw-away overlay,
# without a network.  Skipped, with a line that says so, where that cannot be had.

set -eu
what=$1
cd "$(dirname "$0")/../.."

skip() {
	echo "systemd: skipped: $*"
	exit 0
}

[ "$(id -u)" = 0 ] || skip "needs root, for a container"
command -v systemd-nspawn >/dev/null ||
	skip "needs systemd-nspawn (apt-get install systemd-container)"

dir=$(mktemp -d)
root=$dir/root
tidy_up() {
	trap - EXIT
	umount "$root" 2>/dev/null || :
	umount "$dir" 2>/dev/null || :
	rmdir "$dir"
}
trap tidy_up EXIT
trap 'exit 1' INT TERM

mount -t tmpfs -o mode=755 tmpfs "$dir" || skip "may not mount"
mkdir "$dir/upper" "$dir/work" "$root" "$dir/out"
mount -t overlay -o "lowerdir=/,upperdir=$dir/upper,workdir=$dir/work" \
    overlay "$root" || skip "may not mount an overlay"
# What is configured on this machine is not of the test.
rm -rf "$root/etc/ttybridge" "$root/etc/systemd/system/ttybridge.service"*
case $what in
service)
	${MAKE:-make} -s install DESTDIR="$root" PREFIX=/usr
	install -m 755 tests/systemd/in-container.sh "$dir/out/test"
	install -m 644 tests/systemd/restart.py tests/systemd/restart_net.py \
	    tests/e2e/harness.py tests/e2e/certificates.py tests/e2e/uart.py \
	    tests/e2e/test_handover.py tests/e2e/test_rfc2217.py build/fault.so "$dir/out"
	;;
package)
	# The image of a container may forbid scripts of packages to start services.
	rm -f "$root/usr/sbin/policy-rc.d"
	install -m 755 tests/systemd/package.sh "$dir/out/test"
	install -m 755 conf/deb/tests/* "$dir/out"
	install -m 644 build/deb/ttybridge_*.deb "$dir/out/ttybridge.deb"
	;;
esac
cat >"$dir/out/run" <<-'EOF'
	#!/bin/sh
	exec /run/out/test >/run/out/log 2>&1 </dev/null
EOF
chmod 755 "$dir/out/run"

# Beside another systemd a scope of its own; elsewhere there is none to be had.
[ -d /run/systemd/system ] && scope='' || scope=--keep-unit
status=0
# shellcheck disable=SC2086
timeout -k 5 "${PATIENCE:-300}" systemd-nspawn -q --register=no $scope \
    --private-network --link-journal=no --machine="ttybridge-$$" \
    --bind="$dir/out:/run/out" -D "$root" --boot --console=pipe \
    -- --show-status=no systemd.run=/run/out/run \
    systemd.run_success_action=exit-force \
    systemd.run_failure_action=exit-force \
    >"$dir/out/console" 2>&1 </dev/null || status=$?
if [ -s "$dir/out/log" ]; then
	cat "$dir/out/log"
else
	echo "systemd: the container did not start (status $status)"
	tail -n 20 "$dir/out/console"
	[ "$status" -ne 0 ] || status=1
fi
exit "$status"
