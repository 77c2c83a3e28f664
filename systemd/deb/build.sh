#!/bin/sh
#
# usage: build.sh VERSION DIRECTORY
#
# What `make deb` runs: makes DIRECTORY/ttybridge_VERSION_ARCHITECTURE.deb of what
# `make install` has installed in DIRECTORY/root, and of the files beside this script.

set -eu
version=$1
cd "$(dirname "$0")/../.."
source=$PWD/systemd/deb
install -D -m 644 LICENSE "$2/root/usr/share/doc/ttybridge/copyright"
cd "$2"
strip root/usr/bin/ttybridged root/usr/bin/ttybridgectl
tls=root/usr/lib/ttybridge/ttybridge-tls.so
[ ! -e $tls ] || strip --strip-unneeded $tls
mkdir debian root/DEBIAN

# dpkg-shlibdeps reports the libraries that the programs are linked with, and those of the
# object that is loaded for TLS, which are recommended.  The template names the others that
# are loaded on demand.  It needs a source package's debian/control.
printf '%s\n' 'Source: ttybridge' '' 'Package: ttybridge' 'Architecture: any' >debian/control
libraries=$(dpkg-shlibdeps -O root/usr/bin/ttybridged root/usr/bin/ttybridgectl)
recommended=
[ ! -e $tls ] || recommended=$(dpkg-shlibdeps -O -xlibc6 -xlibevent-core-2.1-7 $tls)
sed "s/@VERSION@/$version/; s/@ARCHITECTURE@/$(dpkg --print-architecture)/
    s/@LIBRARIES@/${libraries#shlibs:Depends=}/
    s/@TLS@/${recommended:+, ${recommended#shlibs:Depends=}}/" "$source/control" \
    >root/DEBIAN/control

install -m 644 "$source/conffiles" root/DEBIAN
install -m 755 "$source/postinst" "$source/postrm" "$source/prerm" root/DEBIAN
(cd root && find usr lib etc -type f -exec md5sum {} +) >root/DEBIAN/md5sums
dpkg-deb --root-owner-group --build "$PWD/root" "$PWD"
