#!/bin/busybox sh
#
# The first process of the virtual machine: puts this root together and goes over to it.
#
#	lower   the host's root, read-only over 9p
#	        what prepare.sh unpacked, read-only over 9p
#	upper   a tmpfs: what the guest writes is lost with it
#
# /run/vm is the directory of this run on the host, and can be written.

busybox=/bin/busybox
$busybox mkdir -p /proc /sys /dev /host /rw /root
$busybox mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
$busybox mount -t proc proc /proc
$busybox mount -t sysfs sys /sys

stop() {
	echo "init: $*"
	$busybox poweroff -f
}

while read -r module; do
	$busybox insmod "/modules/$module" || echo "init: $module: failed"
done </order

share() {
	$busybox mount -t 9p -o "trans=virtio,version=9p2000.L,msize=512000,$3" \
	    "$1" "$2" || stop "no 9p share $1"
}

share root /host ro,cache=loose
$busybox mount -t tmpfs -o mode=755 rw /rw
$busybox mkdir /rw/layer /rw/upper /rw/work
share layer /rw/layer ro,cache=loose
$busybox mount -t overlay -o \
    lowerdir=/rw/layer:/host,upperdir=/rw/upper,workdir=/rw/work root /root ||
    stop 'no overlay'

for dir in dev proc sys; do
	[ -d /root/$dir ] || $busybox mkdir /root/$dir
	$busybox mount -o move /$dir /root/$dir
done
$busybox mount -t tmpfs -o mode=755 run /root/run
$busybox mkdir -p /root/run/vm /root/dev/pts /root/dev/shm
share run /root/run/vm cache=none

# As udev names them, where there is one.
$busybox mkdir /root/dev/virtio-ports
for port in /root/sys/class/virtio-ports/*; do
	$busybox ln -s "../${port##*/}" \
	    "/root/dev/virtio-ports/$($busybox cat "$port/name")"
done
exec $busybox switch_root /root /run/vm/boot
