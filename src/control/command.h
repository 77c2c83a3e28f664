/*
 * command: the commands that a client may give, and what each replies.
 */
#ifndef COMMAND_H
#define COMMAND_H

#include "client.h"

/*
 * Carries out one line for a client and appends the reply: a body and "OK", or "ERR
 * MESSAGE"; nothing for an empty line.  Of a long one it is the first piece, and c->call
 * is set until the last one has come.  A watch has no "OK" until it ends.
 */
void command_run(struct client *c, char *line);
/* Whether the client is in the middle of something that can go on. */
bool command_busy(const struct client *c);
/* A step of it: a piece of a reply, some of an answer or of what is watched.  False when
 * there is nothing to do, so that the next line may be carried out unless a watch is on
 * or an answer is awaited. */
bool command_step(struct client *c);
/* Ends a watch, with "OK" once all is shown. */
void command_unwatch(struct client *c);
/* The time for the answer that is awaited, c->ask_until, is over. */
void command_no_answer(struct client *c);
/* What is awaited, and for how long, as a task's label. */
void command_ask_label(const struct client *c, char *buf, size_t size);
/* The client is about to go: completes the reply to what it has waited for, if that has
 * come. */
void command_last(struct client *c);
/* Ends whatever it is in the middle of without a word, and frees what the commands have
 * kept: the client goes. */
void command_forget(struct client *c);

#endif
