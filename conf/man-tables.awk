# usage: { ttybridged --list-keys; ttybridged --list-commands; } |
#            awk -f man-tables.awk - PAGE
#
# Prints the manual page with its tables written again: the lines after "generated: keys" and
# "generated: commands", up to "end of what is generated".

# Text that mdoc takes neither for a macro nor for an escape.
function plain(s) {
	gsub(/\\/, "\\e", s)
	gsub(/"/, "\\(dq", s)
	return "\"\\&" s "\""
}

function add(table, line) { text[table] = text[table] line "\n" }

function key(name, value, kinds) {
	if (keys == 0)
		add("keys", ".Bl -column \"checksum_complement\" \"/var/lib/ttybridge\" \"x\"")
	keys++
	add("keys", ".It Cm " name " Ta " (value == "-" ? "" : plain(value) " ") "Ta " plain(kinds))
}

function end_table() {
	if (keys > 0)
		add("keys", ".El")
	keys = 0
}

function command(usage, help) {
	add("commands", ".It Li " plain(usage))
	add("commands", toupper(substr(help, 1, 1)) substr(help, 2) ".")
}

FNR == NR && /^  / {
	split(substr($0, 3), part, /  +/)
	key(part[1], part[2], part[3])
	next
}

FNR == NR && /^(\[|every endpoint$|framing = )/ {
	end_table()
	add("keys", ".Ss " ($0 == "every endpoint" ? "Keys of every endpoint" : "Keys of " $0))
	next
}

FNR == NR {
	end_table()
	split($0, part, /  +/)
	command(part[1], part[2])
	next
}

/^\.\\" generated: / {
	print
	printf "%s", text[$3]
	skip = 1
}

/^\.\\" end of what is generated/ { skip = 0 }

!skip
