/*
 * failover: which of its sources, or destinations, a route with `prefer` uses.
 *
 * With prefer = from, frames of one source are forwarded: of the first in the list that is
 * live.  A source is live while a frame that matches `live_match` came within
 * `fail_after`; the time in which it is not read, because a destination has no room, does
 * not count.  With prefer = to, frames go to one destination: it is live while it is up,
 * has a peer, and has not kept what was written to it waiting for `fail_after`.  What is
 * queued for another one stays there.
 *
 * If the one that is used is not live any more, the first live one takes its place; if
 * there is none, nothing changes.  One that precedes it in the list is used again when it
 * has been live for `recover_after`.  At the start the first one counts as live for
 * `fail_after`, and after a restart the one that was used; a destination only until it has
 * been open once.
 *
 * The result is in the route (struct choice), where a verdict finds it: frames of sources,
 * or for destinations, that are not used are refused there.  A frame of a source is heard
 * before its routes are looked up (route_source.hears); everything else follows from
 * changes of links and from a timer, which runs only while time alone may change
 * something.
 */
#ifndef FAILOVER_H
#define FAILOVER_H

#include "batch.h"

/*
 * Prepares the failover of a route with a choice, in a list that is not in use yet.
 * -ENOMEM.
 */
int failovers_add(
    struct failover_list *list, struct bridge *b, struct route *route);
/*
 * The list replaces that of the bridge, which has its new nodes and routes.  A route with
 * the same name and members continues with the one that it used.  was[]: the number that
 * each endpoint had before, or ROUTE_NONE.
 */
void failovers_use(
    struct bridge *b, struct failover_list *list, const unsigned *was);
void failovers_free(struct failover_list *list);
/* The frames of the batch have come from their source, which has routes. */
void failovers_hear(const struct batch *batch);
/*
 * A link of the node, or the state of its endpoint, has changed: its routes look at it in
 * the next pass of the event loop, once for all that changes until then.
 */
void failovers_look(const struct node *node);
/* The route continues with this member, as the previous process did. */
void failover_restore(struct route *route, unsigned used);

#endif
