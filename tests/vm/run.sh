#!/bin/sh
#
# usage: run.sh [-s] [-k] [-t SECONDS] SCRIPT [ARGUMENT...]
#
# Runs SCRIPT as root in a virtual machine whose root is this machine's own, under a
# throw-away layer; prints what it prints, and has its exit status (124: the time ran out,
# 125: there was no machine).
#
#	-s	under systemd as PID 1, with udevd
#	-k	keep the directory of this run, with the kernel's messages
#	-t	how long it may take; 150 s
#
# What it has:
#
#	ttyS4 and ttyS5		16550s, wired to each other
#	ttyS6 and ttyS7		the same
#	/dev/virtio-ports/qmp	QEMU's monitor, to plug and pull USB adapters: usb-serial
#				with chardev=usb0 or usb1 on bus xhci.0
#	/dev/virtio-ports/far0	what is wired to the serial side of usb0
#	/dev/virtio-ports/far1	and of usb1
#	/run/vm			the directory of this run
#
# The processor is emulated, which is slow and works everywhere; VM_ACCEL=kvm tries KVM.

set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=${VM_CACHE:-$here/../../build/vm}
systemd='' keep='' seconds=150
while getopts skt: option; do
	case $option in
	s) systemd=yes ;;
	k) keep=yes ;;
	t) seconds=$OPTARG ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))

mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
"$here/prepare.sh" "$cache" || exit 125
run=$(mktemp -d "$cache/run.XXXXXX")
trap '[ -n "$keep" ] && echo "vm: kept $run" || rm -rf "$run"' EXIT
trap 'exit 1' INT TERM

# --- what the guest runs -----------------------------------------------------

quote() {
	for word in "$@"; do
		printf " '%s'" "$(printf '%s' "$word" | sed "s/'/'\\\\''/g")"
	done
}

cat >"$run/script" <<-END
	#!/bin/sh
	exec </dev/null >/dev/virtio-ports/out 2>&1
	export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
	export HOME=/root TERM=dumb PYTHONDONTWRITEBYTECODE=1
	cd$(quote "$PWD")
	status=0
	$(quote "$@") || status=\$?
	echo "\$status" >/run/vm/status
	poweroff -ff >/dev/null 2>&1
END

if [ -z "$systemd" ]; then
	cat >"$run/boot" <<-'END'
		#!/bin/sh
		mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
		mount -t tmpfs -o mode=1777 shm /dev/shm
		mkdir -p -m 1777 /run/lock
		/usr/bin/busybox ip link set lo up
		exec /run/vm/script
	END
else
	# No service of this machine is wanted, no tidying up of its files, and no
	# secrets of it.  This is not the container that it may be.
	cat >"$run/boot" <<-'END'
		#!/bin/sh
		cd /usr/lib/systemd/system
		for unit in sysinit.target.wants/* sockets.target.wants/* \
		    timers.target.wants/*; do
			case ${unit##*/} in
			systemd-journald* | systemd-udev*) ;;
			*) rm -f "$unit" ;;
			esac
		done
		rm -rf /etc/systemd/system/* /etc/fstab /etc/shadow \
		    /etc/gshadow /.dockerenv
		[ -s /etc/machine-id ] ||
		    echo 0123456789abcdef0123456789abcdef >/etc/machine-id
		mkdir -p /run/systemd/system
		cat >/run/systemd/system/vm.service <<-'UNIT'
			[Unit]
			Requires=sysinit.target
			After=sysinit.target systemd-udev-trigger.service
			DefaultDependencies=no
			AllowIsolate=yes
			[Service]
			Type=exec
			ExecStart=/run/vm/script
		UNIT
		exec /lib/systemd/systemd --unit=vm.service \
		    --show-status=no --log-target=kmsg
	END
fi
chmod 755 "$run/boot" "$run/script"

# --- the machine -------------------------------------------------------------

# Two character devices that are wired to each other.
wire() {
	echo "-chardev socket,id=$1,path=$run/$1,server=on,wait=off" \
	    "-chardev socket,id=$1.far,path=$run/$1"
}

# The guest's name for a stream to a character device of QEMU.
port() {
	echo "-device virtserialport,name=$1,chardev=$2"
}

accel='-accel tcg,thread=multi,tb-size=256'
[ "${VM_ACCEL:-tcg}" = tcg ] || accel="-accel $VM_ACCEL $accel"
# shellcheck disable=SC2046,SC2086
timeout --foreground -k 5 "$seconds" qemu-system-x86_64 \
    -M q35 $accel -cpu max -smp 2 -m 1024 \
    -nodefaults -no-user-config -display none -no-reboot \
    -kernel "$cache/vmlinux" -initrd "$cache/initrd" \
    -append "console=ttyS0 quiet panic=-1 mitigations=off 8250.nr_uarts=12 \
	systemd.journald.forward_to_console=0 ${VM_APPEND:-}" \
    -chardev "file,id=console,path=$run/console" \
    -device isa-serial,chardev=console \
    -chardev file,id=out,path=/dev/stdout \
    $(wire qmp) -mon chardev=qmp,mode=control \
    $(wire usb0) $(wire usb1) $(wire null0) $(wire null1) \
    -device pci-serial-4x,chardev1=null0,chardev2=null0.far,chardev3=null1,chardev4=null1.far \
    -device virtio-serial-pci $(port out out) $(port qmp qmp.far) \
    $(port far0 usb0.far) $(port far1 usb1.far) \
    -device qemu-xhci,id=xhci \
    -virtfs "local,mount_tag=root,path=/,security_model=none,readonly=on,multidevs=remap" \
    -virtfs "local,mount_tag=layer,path=$cache/layer,security_model=none,readonly=on,multidevs=remap" \
    -virtfs "local,mount_tag=run,path=$run,security_model=none" \
    </dev/null 2>"$run/qemu" | cat

if [ -s "$run/status" ]; then
	exit "$(cat "$run/status")"
fi
echo "vm: no result in $seconds s; the last that was seen:"
tail -n 30 "$run/qemu" "$run/console" | tr -d '\r'
[ -s "$run/console" ] && exit 124
exit 125
