#!/bin/sh
# What no compiler checks: layers, dependency cycles, comparisons of types, headers that
# stand alone, formatting, the length of functions, the manual pages.  The object files of
# build/plain have to be up to date.
set -eu
cd "$(dirname "$0")/.."
status=0

fault() {
	echo "lint: $*"
	status=1
}

# Each directory is a layer: a file includes headers of its own and of lower ones.
layers="base net tls framing endpoint route config init bridge control http daemon"
# The client is a program of its own, of base and net.
for directory in src/*/; do
	case " $layers ctl " in *" $(basename "$directory") "*) ;; *) fault "$directory is in no layer" ;; esac
done
[ -z "$(basename -a src/*/*.[ch] | sort | uniq -d)" ] ||
	fault "the same name twice: $(basename -a src/*/*.[ch] | sort | uniq -d)"

# Each file is in the table of src/README.md, by its name or a pattern; that of a framing need
# not be.
awk -F'|' '/^\| (`[a-z]+`)? ?\|/ {
	gsub(/[` ]/, "", $2)
	if ($2 != "")
		directory = $2
	while (match($3, /`[^`]*`/)) {
		print directory, substr($3, RSTART + 1, RLENGTH - 2)
		$3 = substr($3, RSTART + RLENGTH)
	} }' src/README.md >build/lint.table
[ -s build/lint.table ] || fault "src/README.md has no table of files"
for file in src/*/*.[ch]; do
	directory=$(basename "$(dirname "$file")")
	name=$(basename "$file" | sed 's/\.[ch]$//')
	! grep -qs '^const struct framing framing_' "${file%.?}.c" || continue
	found=
	while read -r where pattern; do
		case $where/$name in "$directory"/$pattern) found=yes ;; esac
	done <build/lint.table
	[ -n "$found" ] || fault "$file is not in the table of src/README.md"
done
while read -r directory pattern; do
	ls src/"$directory"/$pattern.* >/dev/null 2>&1 ||
		fault "src/README.md has $pattern in $directory, which is not there"
done <build/lint.table

higher=$layers
for layer in $layers; do
	higher=${higher#"$layer"}
	higher=${higher# }
	for above in $higher; do
		for header in src/"$above"/*.h; do
			grep -n "^#include \"$(basename "$header")\"" src/"$layer"/*.[ch] || true
		done
	done
done >build/lint.layers
for header in $(ls src/*/*.h | grep -v '^src/\(base\|net\|ctl\)/'); do
	grep -n "^#include \"$(basename "$header")\"" src/ctl/*.[ch] || true
done >>build/lint.layers
for header in src/ctl/*.h; do
	grep -n "^#include \"$(basename "$header")\"" $(ls src/*/*.[ch] | grep -v ^src/ctl/) || true
done >>build/lint.layers
[ ! -s build/lint.layers ] || { cat build/lint.layers; fault "includes of a higher layer"; }

# A file may depend on others, by the symbols that it uses, but not on itself through them.
nm -A -g $(printf "%s\n" src/*/*.c | sed "s,src/,build/plain/,; s,c\$,o,") | awk '
    { file = $1; sub(/:.*/, "", file); sub(/.*\//, "", file); symbol = $NF }
    $(NF - 1) == "U" { use[file, symbol]; next }
    { home[symbol] = file }
    END { for (each in use) { split(each, part, SUBSEP)
	if (part[2] in home && home[part[2]] != part[1]) print part[1], home[part[2]] } }' |
	tsort >/dev/null 2>build/lint.cycles || true
[ ! -s build/lint.cycles ] || { cat build/lint.cycles; fault "a dependency cycle"; }

# What a type of endpoint or a framing needs of others is said by a member of its table.
! grep -nE '[!=]= *&(endpoint|framing)_|rule->name, "' src/*/*.c ||
	fault "compares types of endpoints or framings"

for header in src/*/*.h; do
	gcc -std=gnu11 -D_GNU_SOURCE $(printf -- '-iquote %s ' src/*/) \
	    -Wall -Wextra -fsyntax-only -x c "$header" ||
		fault "$header does not compile alone"
done

# Versions of clang-format disagree: only the one that the source is formatted with counts.
format=14
case $(clang-format --version) in
*"version $format."*)
	clang-format --dry-run -Werror src/*/*.[ch] $(find tests -name '*.[ch]') ||
		fault "clang-format -i what is named above"
	;;
*)
	echo "lint: formatting not checked: that needs clang-format $format, here is" \
		"$(clang-format --version)"
	;;
esac

awk 'FNR == 1 { start = 0 }
    /^{/ { start = FNR }
    /^}/ { if (start && FNR - start > 60)
	printf "%s:%d: a function of %d lines\n", FILENAME, start, FNR - start
	start = 0 }' src/*/*.c >build/lint.long
[ ! -s build/lint.long ] || { cat build/lint.long; status=1; }

for page in man/*.[1-8]; do
	mandoc -T lint -W warning "$page" || fault "$page"
done

/usr/bin/python3 -m compileall -q tests >/dev/null || fault "tests: Python"
exit $status
