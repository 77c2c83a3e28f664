/*
 * silence: opens an endpoint again when it has received no frame for `silence_timeout`,
 * and resets the device if its section says how.
 *
 * The time runs while the endpoint is up and read: not while it is paused, or waits for
 * room at a destination.  Frames are counted in any case, so nothing is done for each of
 * them; the timer looks at the counters when the time would be over.
 */
#ifndef SILENCE_H
#define SILENCE_H

#include "bridge.h"

/* The state of the endpoint, or its section, may have changed. */
void node_silence(struct node *node);
/* The node is about to be freed. */
void node_silence_end(struct node *node);
/* The link is up: resets the device if the endpoint was opened again because of this. */
void node_silence_up(struct node *node);

#endif
