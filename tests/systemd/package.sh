#!/bin/sh
#
# Installs the Debian package, and runs its own tests.

set -eu
export PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb
export TTYBRIDGE_DEB=/run/out/ttybridge.deb

dpkg -i "$TTYBRIDGE_DEB" >/run/installed 2>&1 || { cat /run/installed; exit 1; }
for test in bridge service upgrade purge; do
	AUTOPKGTEST_TMP=$(mktemp -d)
	export AUTOPKGTEST_TMP
	user=root
	[ $test != bridge ] || user=nobody
	chown $user "$AUTOPKGTEST_TMP"
	setpriv --reuid=$user --regid="$(id -g $user)" --clear-groups "/run/out/$test" || {
		echo "package: FAILED: $test"
		exit 1
	}
	echo "package: $test passed"
done
