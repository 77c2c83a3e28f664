/*
 * bridge_exchange: masters that share a bus on which one request is answered at
 * a time.
 */
#ifndef BRIDGE_EXCHANGE_H
#define BRIDGE_EXCHANGE_H

#include "bridge_batch.h"

/*
 * Makes the exchanges that routes ask for among the nodes, which are not at work
 * yet.  -ENOMEM: none is made.
 */
int exchanges_new(struct bridge *b, const struct routes *routes,
    struct node *const *node, unsigned n, struct exchange_list *ret);
/*
 * They take the place of the bridge's.  What waits in one whose route and bus
 * stay the same goes on; what waits in others is dropped and counted.
 */
void exchanges_use(struct bridge *b, struct exchange_list *list);
void exchanges_free(struct exchange_list *list);

/* Takes the picked frames over, as requests of the port they came from. */
void exchange_ask(struct exchange *ex, const struct batch *batch);
/*
 * Finds the answer among the frames that came from the bus.  The name of the
 * endpoint that gets it is appended to names, unless that is NULL.
 */
void exchange_answer(
    struct exchange *ex, const struct batch *batch, char *names, size_t size);
/* The port is gone, and with it what it had asked. */
void exchange_forget(struct bridge *b, const struct port *port);
/* What waits to be asked is added to bytes and frames. */
void exchange_queued(const struct exchange *ex, size_t *bytes, size_t *frames);

#endif
