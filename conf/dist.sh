#!/bin/sh
#
# usage: dist.sh NAME
#
# What `make dist` runs: makes build/NAME.tar.gz of the last commit or, in an unpacked
# source archive, which has no history, of the files there.  The bytes of the archive
# follow from the commit alone.  conf/commit-time has the time of the commit, in seconds
# since 1970, once git-archive(1) has written it.

set -eu
cd "$(dirname "$0")/.."
export LC_ALL=C
tree=build/dist/$1

rm -rf build/dist
mkdir -p "$tree"
if grep -q '^[0-9]' conf/commit-time; then
	tar -c --exclude=./build --exclude=./.git --exclude=__pycache__ \
	    --exclude=.pytest_cache --exclude='*.deb' -f build/dist/tar .
else
	git archive -o build/dist/tar --format=tar HEAD
fi
tar -x -C "$tree" -f build/dist/tar
tar -c --format=gnu --sort=name --owner=0 --group=0 --numeric-owner \
    --mode=u=rwX,go=rX --mtime="@$(cat "$tree/conf/commit-time")" \
    -C build/dist -f build/dist/tar "$1"
gzip -9n <build/dist/tar >build/dist/gz
mv build/dist/gz "build/$1.tar.gz"
rm -r build/dist
