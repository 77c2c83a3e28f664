/*
 * control: ports on which users and programs control the daemon, for example with netcat.
 * Sessions read lines and write replies, within limits.  The commands are implemented in
 * files of their own.
 */
#ifndef CONTROL_H
#define CONTROL_H

#include "client.h"
#include "config.h"
#include "error.h"

/* While more than this is queued for a client, no further commands are executed. */
#define CONTROL_OUTPUT_MARK (64 * 1024)

struct control; /* one port */

/* Opens the port; conf is copied, except for its TLS context, which is taken out of it.
 * -errno with a message in err. */
int control_new(struct bridge *b, struct control_conf *conf,
    const struct daemon_hooks *hooks, struct control **ret, struct error *err);
/* The copy of the configuration section. */
const struct control_conf *control_config(const struct control *c);
/* The section of the port is read again, and otherwise unchanged: its certificates are
 * used for new clients. */
void control_follow(struct control *c, struct control_conf *conf);
/*
 * Closes the port and its sessions, each after sending as much of its replies as possible
 * without blocking.  c may be NULL; must not be called inside a command.
 */
void control_free(struct control *c);
unsigned control_sessions(const struct control *c);

#endif
