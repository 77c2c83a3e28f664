/*
 * control: ports where a person or a program asks the daemon, with netcat.  Sessions:
 * lines in, replies out, limits.  What the commands do is in files of their own.
 */
#ifndef CONTROL_H
#define CONTROL_H

#include "client.h"
#include "config.h"
#include "error.h"

/* While this much waits for a client, its next commands have to wait too. */
#define CONTROL_OUTPUT_MARK (64 * 1024)

struct control; /* one port */

/* Listens; conf is copied.  -errno with a sentence in err. */
int control_new(struct bridge *b, const struct control_conf *conf,
    const struct daemon_hooks *hooks, struct control **ret, struct error *err);
/* The copy of its section. */
const struct control_conf *control_config(const struct control *c);
/* Closes the port and its sessions, each with as much of what it is owed as it takes
 * at once.  NULL is fine; not from inside a command. */
void control_free(struct control *c);
unsigned control_sessions(const struct control *c);

#endif
