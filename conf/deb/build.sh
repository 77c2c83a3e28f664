#!/bin/sh
#
# usage: build.sh VERSION
#
# What `make deb` runs: makes a Debian source package of the source archive of `make dist`
# and of its conf/deb, and builds it.  All of it goes to build/deb.

set -eu
cd "$(dirname "$0")/../.."
tree=build/deb/ttybridge-$1

rm -rf build/deb
mkdir -p build/deb
cp "build/ttybridge-$1.tar.gz" "build/deb/ttybridge_$1.orig.tar.gz"
tar -xz -C build/deb -f "build/ttybridge-$1.tar.gz"
cp -R "$tree/conf/deb" "$tree/debian"
rm "$tree/debian/build.sh"
date=$(LC_ALL=C date -uR -d "@$(cat "$tree/conf/commit-time")")
sed "s/@VERSION@/$1/; s/@DATE@/$date/" conf/deb/changelog >"$tree/debian/changelog"

# debian/rules is not to see the variables of this make.
cd "$tree"
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES
dpkg-buildpackage --no-sign -J"$(nproc)" "${BUILD:---build=full}"
cd ../../..
rm -r "$tree"
echo "the packages are in build/deb:"
ls build/deb/*.deb
