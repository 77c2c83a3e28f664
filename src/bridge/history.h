/*
 * history: the most recent bytes of an endpoint, in memory (key history).
 *
 * Of a server it is the frames that were sent to its clients, or would have been if there
 * were any: a new client gets them first.  Of other endpoints it is what was read.
 */
#ifndef HISTORY_H
#define HISTORY_H

#include "batch.h"
#include "pack.h"

struct history;

/* The section of the node is used, or has changed: creates, limits or frees its history. */
void node_history(struct node *node);
void history_free(struct history *h);
/* Whether it is what is read. */
bool history_is_input(const struct history *h);
/* Adds what was read. */
void history_add(struct history *h, const uint8_t *data, size_t len);
/* Adds the frames of a batch that are for the node, which has a history of frames. */
void history_deliver(struct node *node, const struct batch *batch);
/* Saves what was read, and the frames; h may be NULL. */
void history_save(const struct history *h, struct pack *p);
/* Adds the most recent of what was saved, as far as there is room. */
void history_restore(struct history *h, const struct span *input,
    const struct unpack *frames, size_t nframes);
/* Queues the history for a new client, as far as there is room. */
void history_replay(struct port *port);

#endif
