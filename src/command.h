/*
 * command: the table of control commands, and what each replies.
 */
#ifndef COMMAND_H
#define COMMAND_H

#include "control.h"

/*
 * Carries out one line for a session (s->control for the bridge) and appends the
 * reply to s->reply: a body and "OK", or "ERR MESSAGE"; nothing for an empty line.
 * Of a long one it is the first piece, and s->call is set until the last one has come.
 * A watch has no "OK" until it ends.
 */
void command_run(struct session *s, char *line);
/* Appends the next piece of the reply. */
void command_go_on(struct session *s);
/* Appends "ERR MESSAGE" to the session's reply: one line, whatever the message is. */
void command_error(struct session *s, const char *message);
/* A watch: whether there is something to show, and can be; shows some; ends it, with
 * "OK", once all is shown. */
bool command_watch_waits(const struct session *s);
bool command_watch(struct session *s);
void command_unwatch(struct session *s);
/* The time for the answer that a session awaits is over. */
void command_no_answer(struct session *s);
/* Appends some of the answer, and "OK" behind its end. */
void command_answer(struct session *s);
/* Ends whatever it is in the middle of without a word: the session goes. */
void command_forget(struct session *s);

#endif
