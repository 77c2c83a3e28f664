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
/*
 * A request of the control port.  tap: who awaits its answer, with exchange_answers; NULL:
 * it is to be sent, no more.  -EINVAL: no Modbus message; -ENOTCONN: no peer; -ENETDOWN:
 * the bus is not up; -ENOBUFS; -ENOMEM.
 */
int exchange_send(struct exchange *ex, const struct tap *tap,
    const uint8_t *payload, size_t len);
/* Whether the frame that a tap is being told of is the answer to its request. */
bool exchange_answers(const struct exchange *ex, const struct tap *tap);
/* It waits for no answer any more; what has not been sent is dropped. */
void exchange_forget_tap(struct bridge *b, const struct tap *tap);
/* The port is down, and with it what it had asked, or what was to be sent to it. */
void exchange_forget(struct bridge *b, const struct port *port);
/* What waits to be asked is added to bytes and frames. */
void exchange_queued(const struct exchange *ex, size_t *bytes, size_t *frames);

#endif
