/*
 * ports: the control ports of the configuration in use, and how those of
 * another one take their place.
 */
#ifndef PORTS_H
#define PORTS_H

#include "control.h"
#include "error.h"

/*
 * At the start: opens those of the configuration, which are taken out of it.  must:
 * -errno with a sentence when one cannot be opened.  Else it is logged, and tried again.
 */
int control_ports_open(struct bridge *b, const struct daemon_hooks *hooks,
    struct config *c, bool must, struct error *err);

/*
 * A reload.  prepare opens what is new; the ports in use stay as they are.  -errno with
 * a sentence: nothing is open that was not.  Then either drop, or commit, which takes
 * the configuration over, and change.
 */
int control_ports_prepare(const struct config *c, struct error *err);
void control_ports_drop(void);
void control_ports_commit(struct config *c);
/*
 * Puts in place what was committed, if anything was, and closes what is not in it.  Not
 * from inside a session's callback.  -errno with a sentence for one that could only
 * be opened now, and was not; the others are, and that one is tried again.
 */
int control_ports_change(struct error *err);
/* Closes them all. */
void control_ports_free(void);

#endif
