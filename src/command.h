/*
 * command: the table of control commands, and what each replies.
 */
#ifndef COMMAND_H
#define COMMAND_H

#include "control.h"

/*
 * Carries out one line for a session (s->control for the bridge) and appends the whole
 * reply to its output: a body and "OK", or "ERR MESSAGE"; nothing for an empty line.
 */
void		command_run(struct session *s, char *line);
/* Ends a watch; the session's line has come. */
void		command_unwatch(struct session *s);

#endif
