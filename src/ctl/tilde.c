/*
 * tilde: the escape sequences of a user at a terminal, as in ssh(1) and cu(1).
 */
#include <string.h>

#include "tilde.h"

static enum tilde_command
command(uint8_t byte)
{
	switch (byte) {
	case '.':
		return TILDE_LEAVE;
	case 'b':
		return TILDE_BREAK;
	case 'r':
		return TILDE_RESET;
	case 'h':
		return TILDE_HISTORY;
	case '?':
		return TILDE_HELP;
	default:
		return TILDE_NONE;
	}
}

enum tilde_command
tilde_key(struct tilde *t, uint8_t byte, uint8_t *out, size_t *len)
{
	enum tilde_command c;

	if (t->held) {
		t->held = false;
		if ((c = command(byte)) != TILDE_NONE)
			return c;
		out[(*len)++] = '~';
		if (byte == '~') {
			t->inside = true;
			return TILDE_NONE;
		}
	} else if (byte == '~' && !t->inside) {
		t->held = true;
		return TILDE_NONE;
	}
	out[(*len)++] = byte;
	t->inside = byte != '\r' && byte != '\n';
	return TILDE_NONE;
}

enum tilde_command
tilde_line(const char *line, const char **text)
{
	enum tilde_command c;

	*text = line;
	if (line[0] != '~')
		return TILDE_NONE;
	if (line[1] == '~')
		*text = line + 1;
	else if (line[1] != '\0' && line[2] == '\0' &&
	    (c = command((uint8_t)line[1])) != TILDE_NONE) {
		*text = NULL;
		return c;
	}
	return TILDE_NONE;
}
