# usage: { ttybridgectl --list-commands; ttybridged --list-commands; } |
#            awk -v shell=bash|zsh|fish -f completions.awk
#
# Prints the completion of ttybridgectl for that shell.  Which words are possible follows
# from the usages of the commands: NAME is an endpoint, TASK a task, and so on; the names
# themselves are asked of the daemon.  The tables are
#
#   commands    the commands and their help
#   literals    command -> the words and flags that can come after it
#   kinds       command, or command and word -> what its further arguments are, in order;
#               command and flag -> what the value of the flag is
#   options     the options before the command, and what their values are

function strip(s) { gsub(/[][]|\.\.\.|,/, "", s); return s }

# One form of a command: its name, words, flags with their values, arguments.
function form(command, text,    n, i, tokens, word, key, flag, more, found) {
	n = split(text, tokens, " ")
	key = command
	for (i = 1; i <= n; i++) {
		more = tokens[i] ~ /\.\.\./
		word = strip(tokens[i])
		if (word == "" || word == "|") {
			if (more && found != "")
				found = found "..."
			continue
		}
		if (word ~ /^-./) {
			literals[command] = literals[command] " " word
			flag = word
			# A value is in the same brackets, or, without any, the next word.
			if (i < n && tokens[i] !~ /\]/ && tokens[i + 1] ~ /^[A-Z]/ &&
			    (tokens[i] ~ /^\[/ || flag ~ /^--/))
				kinds[command " " flag] = strip(tokens[++i])
		} else if (word ~ /^[a-z-]/) {
			if (key == command) {
				literals[command] = literals[command] " " word
				key = command " " word
			}
		} else
			found = found == "" ? word : found " " word
	}
	# Those of the first form also stand for others.
	if (kinds[key] == "")
		kinds[key] = found
}

# The forms are separated by "|" outside of brackets.
function forms(command, text,    i, c, depth, from) {
	from = 1
	for (i = 1; i <= length(text); i++) {
		c = substr(text, i, 1)
		depth += (c == "[") - (c == "]")
		if (c == "|" && depth == 0) {
			form(command, substr(text, from, i - from))
			from = i + 1
		}
	}
	form(command, substr(text, from))
}

{
	at = match($0, /  +/)
	usage = substr($0, 1, at - 1)
	about = substr($0, at + RLENGTH)
}

/^-/ {
	n = split(usage, part, /,? /)
	value = part[n] ~ /^-/ ? "" : part[n]
	for (i = 1; i <= n; i++)
		if (part[i] ~ /^-/) {
			option[++noptions] = part[i]
			values[part[i]] = value == "PATH" ? "FILE" : value
			helps[part[i]] = about
		}
	next
}

{
	name = usage
	sub(/ .*/, "", name)
	if (!(name in seen))
		command[++ncommands] = name
	if (!(name in seen))
		helps[name] = about
	seen[name] = 1
	forms(name, substr(usage, length(name) + 2))
}

function quote(s) { gsub(/'/, "'\\''", s); return "'" s "'" }

function list(    i, s) {
	for (i = 1; i <= ncommands; i++)
		s = s (i > 1 ? " " : "") command[i]
	return s
}

function option_list(    i, s) {
	for (i = 1; i <= noptions; i++)
		s = s (i > 1 ? " " : "") option[i]
	return s
}

function with_value(    i, s) {
	for (i = 1; i <= noptions; i++)
		if (values[option[i]] != "")
			s = s (s != "" ? " | " : "") option[i]
	return s
}

function with_file(    i, s) {
	for (i = 1; i <= noptions; i++)
		if (values[option[i]] == "FILE")
			s = s (s != "" ? " | " : "") option[i]
	return s
}

function cases(table, indent,    key) {
	for (key in table)
		if (table[key] != "") {
			sub(/^ /, "", table[key])
			print indent quote(key) ") echo " quote(table[key]) " ;;" | "sort"
		}
	close("sort")
}

# What bash and zsh have in common: the words of a command line, without the program, to
# the kinds of words that are possible for the last one.
function functions() {
	print "_ttybridgectl_literals() {"
	print "\tcase $1 in"
	fflush()
	cases(literals, "\t")
	print "\tesac"
	print "}"
	print ""
	print "_ttybridgectl_kinds() {"
	print "\tcase $1 in"
	fflush()
	cases(kinds, "\t")
	print "\tesac"
	print "}"
	print ""
	print "# The words that are possible after the words $2 ..., with the options $1 of $program."
	print "_ttybridgectl_words() {"
	print "\tlocal options=$1 cmd=$2 key=$2 last= at=0 kind="
	print "\t[ -z \"${ZSH_VERSION:-}\" ] || setopt localoptions shwordsplit"
	print "\tshift 2"
	print "\tfor last; do"
	print "\t\tcase $last in"
	print "\t\t-?*) ;;"
	print "\t\t*)"
	print "\t\t\tif [ $at = 0 ] && [ -n \"$(_ttybridgectl_kinds \"$cmd $last\")\" ]; then"
	print "\t\t\t\tkey=\"$cmd $last\""
	print "\t\t\telse"
	print "\t\t\t\tat=$((at + 1))"
	print "\t\t\tfi ;;"
	print "\t\tesac"
	print "\tdone"
	print "\tcase $last in"
	print "\t-?*) kind=$(_ttybridgectl_kinds \"$cmd $last\") ;;"
	print "\tesac"
	print "\tif [ -z \"$kind\" ]; then"
	print "\t\t[ \"$key\" != \"$cmd\" ] || [ $at != 0 ] || _ttybridgectl_literals \"$cmd\""
	print "\t\tkind=$(_ttybridgectl_kinds \"$key\" | awk -v at=$((at + 1)) '{"
	print "\t\t\tword = at > NF && $NF ~ /\\.\\.\\.$/ ? $NF : $at"
	print "\t\t\tsub(/\\.\\.\\.$/, \"\", word); print word }')"
	print "\tfi"
	print "\tcase $kind in"
	print "\tNAME | BUS) \"$program\" $options endpoints ;;"
	print "\tTASK) \"$program\" $options ps ;;"
	print "\tPATH) \"$program\" $options list ;;"
	print "\tCOMMAND) echo; echo " quote(list()) " | tr ' ' '\\n' ;;"
	print "\tFILE) echo; echo FILE ;;"
	print "\tesac 2>/dev/null | sed '1{/ = /!d}; s/ .*//'"
	print "}"
}

function bash_completion() {
	print "# bash completion for ttybridgectl(1), made of its tables of commands"
	print ""
	functions()
	print ""
	print "_ttybridgectl() {"
	print "\tlocal word=${COMP_WORDS[COMP_CWORD]} i options= words program=${COMP_WORDS[0]}"
	print "\tCOMPREPLY=()"
	print "\tfor ((i = 1; i < COMP_CWORD; i++)); do"
	print "\t\tcase ${COMP_WORDS[i]} in"
	print "\t\t" with_value() ")"
	print "\t\t\tif ((i + 1 == COMP_CWORD)); then"
	print "\t\t\t\tcase ${COMP_WORDS[i]} in"
	print "\t\t\t\t" with_file() ") mapfile -t COMPREPLY < <(compgen -f -- \"$word\") ;;"
	print "\t\t\t\tesac"
	print "\t\t\t\treturn"
	print "\t\t\tfi"
	print "\t\t\toptions+=\" ${COMP_WORDS[i]} ${COMP_WORDS[i + 1]}\""
	print "\t\t\t((i++)) ;;"
	print "\t\tjson | -j | --json) ;;"
	print "\t\t-*) options+=\" ${COMP_WORDS[i]}\" ;;"
	print "\t\t*) break ;;"
	print "\t\tesac"
	print "\tdone"
	print "\tif ((i == COMP_CWORD)); then"
	print "\t\tcase $word in"
	print "\t\t-*) words=" quote(option_list()) " ;;"
	print "\t\t*) words=" quote(list()) " ;;"
	print "\t\tesac"
	print "\telse"
	print "\t\twords=$(_ttybridgectl_words \"$options\" \"${COMP_WORDS[@]:i:COMP_CWORD-i}\")"
	print "\t\tcase $'\\n'$words$'\\n' in"
	print "\t\t*$'\\nFILE\\n'*)"
	print "\t\t\tmapfile -t COMPREPLY < <(compgen -f -- \"$word\")"
	print "\t\t\treturn ;;"
	print "\t\tesac"
	print "\tfi"
	print "\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")"
	print "}"
	print "complete -F _ttybridgectl ttybridgectl"
}

function zsh_completion(    i) {
	print "#compdef ttybridgectl"
	print "# zsh completion for ttybridgectl(1), made of its tables of commands"
	print ""
	functions()
	print ""
	print "_ttybridgectl() {"
	print "\tlocal i options= found program=$words[1]"
	print "\tlocal -a commands"
	print "\tcommands=("
	for (i = 1; i <= ncommands; i++)
		print "\t\t" quote(command[i] ":" helps[command[i]])
	print "\t)"
	print "\tfor ((i = 2; i < CURRENT; i++)); do"
	print "\t\tcase $words[i] in"
	print "\t\t" with_value() ")"
	print "\t\t\tif ((i + 1 == CURRENT)); then"
	print "\t\t\t\tcase $words[i] in"
	print "\t\t\t\t" with_file() ") _files ;;"
	print "\t\t\t\tesac"
	print "\t\t\t\treturn"
	print "\t\t\tfi"
	print "\t\t\toptions+=\" $words[i] $words[i+1]\""
	print "\t\t\t((i++)) ;;"
	print "\t\tjson | -j | --json) ;;"
	print "\t\t-*) options+=\" $words[i]\" ;;"
	print "\t\t*) break ;;"
	print "\t\tesac"
	print "\tdone"
	print "\tif ((i == CURRENT)); then"
	print "\t\tcase $words[i] in"
	print "\t\t-*) compadd -- " option_list() " ;;"
	print "\t\t*) _describe command commands ;;"
	print "\t\tesac"
	print "\t\treturn"
	print "\tfi"
	print "\tfound=($(_ttybridgectl_words \"$options\" \"${(@)words[i,CURRENT-1]}\"))"
	print "\tif [[ \" $found \" == *' FILE '* ]]; then"
	print "\t\t_files"
	print "\telse"
	print "\t\tcompadd -- $found"
	print "\tfi"
	print "}"
	print "if [[ $zsh_eval_context[-1] == loadautofunc ]]; then"
	print "\t_ttybridgectl \"$@\""
	print "else"
	print "\tcompdef _ttybridgectl ttybridgectl"
	print "fi"
}

# An option for fish: its forms are -s and --socket.
function fish_option(i,    name, line) {
	name = option[i]
	if (name !~ /^--/)
		return
	line = "complete -c ttybridgectl -n __ttybridgectl_no_command"
	if (i > 1 && option[i - 1] !~ /^--/ && helps[option[i - 1]] == helps[name])
		line = line " -s " substr(option[i - 1], 2)
	line = line " -l " substr(name, 3)
	if (values[name] != "")
		line = line (values[name] == "FILE" ? " -r -F" : " -x")
	print line " -d " quote(helps[name])
}

# What fish offers after a command: all words that are possible somewhere after it.
function fish_words(name,    key, all, n, i, part, when) {
	when = "complete -c ttybridgectl -n '__ttybridgectl_command " name "'"
	if (literals[name] != "")
		print when " -f -a " quote(substr(literals[name], 2))
	for (key in kinds)
		if (key == name || index(key, name " ") == 1)
			all = all " " kinds[key]
	gsub(/\.\.\./, "", all)
	all = all " "
	if (all ~ / (NAME|BUS) /)
		print when " -f -a '(__ttybridgectl_names endpoints)'"
	if (all ~ / TASK /)
		print when " -f -a '(__ttybridgectl_names ps)'"
	if (all ~ / PATH /)
		print when " -f -a '(__ttybridgectl_names list)'"
	if (all ~ / COMMAND /)
		print when " -f -a " quote(list())
	if (all ~ / FILE /)
		print when " -F"
}

function fish_completion(    i, values_of) {
	values_of = with_value()
	gsub(/ \|/, "", values_of)
	print "# fish completion for ttybridgectl(1), made of its tables of commands"
	print ""
	print "# Prints the options before the command, then \"COMMAND\", the command and its words."
	print "function __ttybridgectl_split"
	print "\tset -l words (commandline -opc)"
	print "\tset -l i 2"
	print "\twhile test $i -le (count $words)"
	print "\t\tswitch $words[$i]"
	print "\t\t\tcase " values_of
	print "\t\t\t\tprintf '%s\\n' $words[$i] $words[(math $i + 1)]"
	print "\t\t\t\tset i (math $i + 1)"
	print "\t\t\tcase json -j --json"
	print "\t\t\tcase '-*'"
	print "\t\t\t\tprintf '%s\\n' $words[$i]"
	print "\t\t\tcase '*'"
	print "\t\t\t\tprintf '%s\\n' COMMAND $words[$i..-1]"
	print "\t\t\t\treturn"
	print "\t\tend"
	print "\t\tset i (math $i + 1)"
	print "\tend"
	print "end"
	print ""
	print "function __ttybridgectl_no_command"
	print "\tnot contains COMMAND (__ttybridgectl_split)"
	print "end"
	print ""
	print "function __ttybridgectl_command"
	print "\tset -l words (__ttybridgectl_split)"
	print "\tset -l at (contains -i COMMAND $words)"
	print "\tor return"
	print "\tset at (math $at + 1)"
	print "\ttest \"$words[$at]\" = $argv[1]"
	print "end"
	print ""
	print "# The first column of a table of the daemon."
	print "function __ttybridgectl_names"
	print "\tset -l words (__ttybridgectl_split)"
	print "\tset -l at (contains -i COMMAND $words)"
	print "\tset -e words[$at..-1]"
	print "\tset -l program (commandline -opc)[1]"
	print "\t$program $words $argv[1] 2>/dev/null | sed '1{/ = /!d}; s/ .*//'"
	print "end"
	print ""
	print "complete -c ttybridgectl -f"
	for (i = 1; i <= noptions; i++)
		fish_option(i)
	for (i = 1; i <= ncommands; i++)
		print "complete -c ttybridgectl -n __ttybridgectl_no_command -a " \
			command[i] " -d " quote(helps[command[i]])
	for (i = 1; i <= ncommands; i++)
		fish_words(command[i])
}

END {
	if (shell == "bash")
		bash_completion()
	else if (shell == "zsh")
		zsh_completion()
	else if (shell == "fish")
		fish_completion()
	else
		exit 1
}
