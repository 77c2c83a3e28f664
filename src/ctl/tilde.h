/*
 * tilde: the escape sequences of a user at a terminal: '~' and a letter at the beginning
 * of a line.
 */
#ifndef TILDE_H
#define TILDE_H

#include "util.h"

enum tilde_command {
	TILDE_NONE,
	TILDE_LEAVE,
	TILDE_BREAK,
	TILDE_RESET,
	TILDE_HISTORY,
	TILDE_HELP,
};

struct tilde {
	bool inside; /* a line has begun */
	bool held;   /* a '~' at its beginning is not sent yet */
};

/*
 * Takes the next byte that was typed.  Appends the bytes that are to be sent for it, at
 * most two, at out + *len.
 */
enum tilde_command tilde_key(
    struct tilde *t, uint8_t byte, uint8_t *out, size_t *len);
/*
 * The same for a whole line, without its end.  What is to be sent begins at *text; NULL:
 * nothing is.
 */
enum tilde_command tilde_line(const char *line, const char **text);

#endif
