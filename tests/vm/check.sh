#!/bin/sh
#
# usage: check.sh [hardware] [service]
#
# What `make check-vm` runs, in virtual machines: the daemon on real serial drivers, and
# as it is installed, under systemd.
#
#	VM_PULLS=50	how often the USB adapter is pulled and plugged; 10
#	VM_RESTARTS=5	how often the service is restarted; 20
#	VM_ACCEL=kvm	see run.sh

set -eu
cd "$(dirname "$0")/../.."
pulls=${VM_PULLS:-10} restarts=${VM_RESTARTS:-20}
tree=$PWD/build/vm/root
start=$(date +%s)

rm -rf "$tree"
${MAKE:-make} -s install DESTDIR="$tree" PREFIX=/usr SYSCONFDIR=/etc \
    UNITDIR=/usr/lib/systemd/system

# guest OPTIONS FILE [ARGUMENT...]: a program in a machine of its own.
guest() {
	options=$1
	shift
	# shellcheck disable=SC2086
	tests/vm/run.sh $options env "VM_PULLS=$pulls" "VM_RESTARTS=$restarts" \
	    TTYBRIDGED="$tree/usr/bin/ttybridged" TTYBRIDGE_PATIENCE=60 \
	    PYTHONPATH=tests/e2e /usr/bin/python3 "$@"
}

for what in ${*:-hardware service}; do
	case $what in
	hardware) guest "-t $((200 + 4 * pulls))" tests/vm/hardware.py ;;
	service) guest "-s -t $((120 + 6 * restarts))" tests/vm/service.py "$tree" ;;
	*) echo "vm: $what?" && exit 2 ;;
	esac
done
echo "vm: all passed in $(($(date +%s) - start)) s"
