/*
 * command: the table of control commands, and what each replies.
 */
#ifndef COMMAND_H
#define COMMAND_H

#include "control.h"

/*
 * Carries out one line for a session (s->control for the bridge) and appends the whole
 * reply to s->reply: a body and "OK", or "ERR MESSAGE"; nothing for an empty line.
 * A watch has no "OK" until it ends.  The line is taken apart.
 */
void command_run(struct session *s, char *line);
/* Appends "ERR MESSAGE" to the session's reply: one line, whatever the message is. */
void command_error(struct session *s, const char *message);
/* Ends a watch, with "OK": the session's next line has come. */
void command_unwatch(struct session *s);
/* The answer that a session awaits has come, or the time for it is over. */
void command_asked(struct session *s);
/* Ends a watch, or awaiting an answer, without a word: the session goes. */
void command_forget(struct session *s);

#endif
