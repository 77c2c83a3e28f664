/*
 * discard: how much of the recent input of a port was bad.
 *
 * The frames of a port are counted in any case, so nothing is done for a good one: what
 * lies between two bad ones follows from the counter.
 */
#ifndef DISCARD_H
#define DISCARD_H

#include "bridge.h"

/* A bad frame was counted. */
void port_discarded(struct port *port);
/* How many of the last DISCARD_WINDOW frames were bad; of several peers, the highest. */
unsigned node_recent_errors(const struct node *node);
/* When the last bad frame came; 0: none since the endpoint was opened. */
uint64_t node_last_error(const struct node *node);
/*
 * The port that has received bad frames, and no good one between them, for
 * DISCARD_WARNING_NS or longer; NULL: none.
 */
struct port *node_discards_all(const struct node *node);

#endif
