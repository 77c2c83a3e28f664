/*
 * command: the commands that a client may give, and their replies.
 */
#ifndef COMMAND_H
#define COMMAND_H

#include "client.h"

/*
 * Executes one line for a client and appends the reply: a body and "OK", or "ERR
 * MESSAGE"; nothing for an empty line.  If the reply is long, only its first piece is
 * appended, and c->call is set until the last one is.  A watch has no "OK" until it ends.
 */
void command_run(struct client *c, char *line);
/* Whether there is a step to be done for the client. */
bool command_busy(const struct client *c);
/*
 * Performs a step: a piece of a reply, or a part of an answer or of the frames of a
 * watch.  False when there is nothing to do, so that the next line may be executed unless
 * a watch is running or an answer is awaited.
 */
bool command_step(struct client *c);
/* Whether a watch or a scan is running, which the client's next line ends. */
bool command_continues(const struct client *c);
/*
 * Whether a watch for a number of lines is running: the client's next line, or the end of
 * its input, does not end it, and waits for its end.
 */
bool command_blocks(const struct client *c);
/* Ends it: a watch with "OK" once all frames are shown, a scan with what was found. */
void command_end(struct client *c);
/* Describes the awaited answers, for a task's label. */
void command_ask_label(const struct client *c, char *buf, size_t size);
/* Whether the answer of a unit to a scan is awaited... */
bool command_scan_awaits(const struct client *c);
/* ...for which this is the label. */
void command_scan_label(const struct client *c, char *buf, size_t size);
/*
 * The client is about to be closed: completes the reply to a command whose event has
 * occurred.
 */
void command_last(struct client *c);
/* Ends all commands of a client that is closed, without a reply, and frees their state. */
void command_forget(struct client *c);
/*
 * The usage of the command with that index, such as "get PATH", and what it does; NULL:
 * there are no more.
 */
const char *command_usage(size_t index, const char **help);

#endif
