/*
 * ports: the control ports of the configuration in use, and their replacement at a
 * reload.
 */
#ifndef PORTS_H
#define PORTS_H

#include "control.h"
#include "error.h"

/*
 * At startup: opens the ports of the configuration, which are taken out of it; http: what
 * serves those of [http].  must: returns -errno with a message when one cannot be opened.  Otherwise that is logged, and
 * retried.
 */
int control_ports_open(struct bridge *b, const struct daemon_hooks *hooks,
    const struct control_ops *http, struct config *c, bool must,
    struct error *err);

/*
 * At a reload: prepare opens the new ports; the ports in use are not changed.  -errno
 * with a message: no port was opened.  It is followed by either drop, or commit, which
 * takes ownership of the configuration, and change.
 */
int control_ports_prepare(const struct config *c, struct error *err);
void control_ports_drop(void);
void control_ports_commit(struct config *c);
/*
 * Puts the committed ports, if any, in use, and closes the others.  Must not be called
 * inside a session's callback.  -errno with a message if a port that could only be opened
 * now could not be; the others are in use, and that one is retried.
 */
int control_ports_change(struct error *err);
/* Calls the function for each port that is open. */
void control_ports_each(
    void (*each)(const struct control *c, void *arg), void *arg);
/* Closes all ports. */
void control_ports_free(void);

#endif
