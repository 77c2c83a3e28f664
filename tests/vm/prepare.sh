#!/bin/sh
#
# usage: prepare.sh DIRECTORY
#
# Makes what run.sh boots, once: Debian's kernel, an initial file system that gets as far as
# this machine's root, and a layer over that root with what a container lacks: the
# kernel's modules, kmod and udev.  They are unpacked, not installed: the scripts of the
# packages would start a udevd here, and make boot files for this kernel.

set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
cd "$1"
[ made -nt "$here/prepare.sh" ] && [ made -nt "$here/init.sh" ] && exit 0

fail() {
	echo "vm: $*" >&2
	exit 1
}

command -v apt-get >/dev/null || fail "needs Debian's kernel, and apt to fetch it"

# --- packages ----------------------------------------------------------------

# linux-image-amd64 only names the newest kernel.  Not the one for clouds: it has no USB.
kernel_package() {
	apt-cache show --no-all-versions linux-image-amd64 2>/dev/null |
	    sed -n 's/^Depends: *\(linux-image-[^ ,]*\).*/\1/p'
}

fetch() {
	image=$(kernel_package)
	[ -n "$image" ] && apt-get -qq download "$image" kmod udev 2>apt.log
}

update() {
	[ "$(id -u)" = 0 ] && sudo='' || sudo=sudo
	$sudo apt-get -qq update
}

rm -rf made ./*.deb kernel first layer
echo 'vm: fetching the kernel'
fetch || { update && fetch; } || { cat apt.log; fail "no kernel to be had"; }
version=${image#linux-image-}
mkdir kernel layer
dpkg-deb -x "$image"_*.deb kernel
for package in kmod udev; do
	dpkg-deb -x "$package"_*.deb layer
done
rm -f ./*.deb

# All of it goes below usr, as on this machine, where bin, sbin and lib are links.
for directory in bin sbin lib; do
	[ -d "layer/$directory" ] && [ ! -L "layer/$directory" ] || continue
	mkdir -p "layer/usr/$directory"
	cp -a "layer/$directory/." "layer/usr/$directory/"
	rm -r "layer/$directory"
done
# modprobe and its like are links to kmod by its old place.
find layer/usr -type l -lname '/bin/*' | while read -r link; do
	ln -sfn "/usr$(readlink "$link")" "$link"
done
kmod=$PWD/layer/usr/bin/kmod

# --- kernel and modules ------------------------------------------------------

# depmod and modprobe are names of one program, which looks at how it is called.
for name in depmod modprobe; do
	ln -sfn "$kmod" "$name"
done
./depmod -b kernel "$version"

# What this module needs, and itself, as files below kernel/.
closure() {
	./modprobe -d "$PWD/kernel" -S "$version" --show-depends "$1" |
	    sed -n "s,^insmod $PWD/kernel/\([^ ]*\).*,\1,p"
}

layer_modules='virtio_pci virtio_console 9pnet_virtio 9p overlay xhci_pci
	ftdi_sio cdc_acm autofs4 configfs'
first_modules='virtio_pci virtio_console 9pnet_virtio 9p overlay'

for module in $layer_modules; do
	closure "$module"
done | sort -u | while read -r file; do
	mkdir -p "layer/usr/${file%/*}"
	cp "kernel/$file" "layer/usr/$file"
done
cp kernel/lib/modules/"$version"/modules.builtin* \
    kernel/lib/modules/"$version"/modules.order "layer/usr/lib/modules/$version/"
ln -s usr/lib layer/lib
./depmod -b layer "$version"
rm layer/lib

mkdir -p first/bin first/modules
cp "$(command -v busybox)" first/bin/busybox
for module in $first_modules; do
	closure "$module"
done | awk '!seen[$0]++' | while read -r file; do
	cp "kernel/$file" first/modules/
	basename "$file"
done >first/order
cp "$here/init.sh" first/init
chmod 755 first/init
(cd first && find . | cpio -o -H newc --quiet) >initrd

# QEMU starts an unpacked kernel without any loader, which saves seconds of
# decompression by an emulated processor.  What is not packed by xz stays as it is.
"${PYTHON:-/usr/bin/python3}" - "kernel/boot/vmlinuz-$version" vmlinux <<'END'
import lzma, sys
packed = open(sys.argv[1], "rb").read()
at = packed.find(b"\xfd7zXZ\0")
kernel = packed
if at >= 0:
    try:
        found = lzma.LZMADecompressor().decompress(packed[at:])
        kernel = found if found[:4] == b"\x7fELF" else packed
    except lzma.LZMAError:
        pass
open(sys.argv[2], "wb").write(kernel)
END

rm -rf kernel first depmod modprobe apt.log
echo "$version" >made
echo "vm: kernel $version, $(du -sh . | cut -f1)"
