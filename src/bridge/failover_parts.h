/*
 * failover_parts: what the files of the failover share: its state (failover_live.c finds
 * out which members are live), the decision (failover.c) and the table of all
 * (failovers.c).
 */
#ifndef FAILOVER_PARTS_H
#define FAILOVER_PARTS_H

#include <event2/util.h>

#include "failover.h"

/* The number of looks at a destination within fail_after. */
#define FAILOVER_LOOKS 4

struct member {
	/*
	 * The last sign of life.  Of a source: when a frame came from it.  Of a destination:
	 * when no output was pending, some of it was accepted, or its pace or a gap made it
	 * wait.
	 */
	uint64_t done_ns;
	uint64_t live_ns; /* it is live since then; 0: it is not */
	bool opened;	  /* a destination: it was open since began_ns */
	/* Of a destination, when its output was measured last: */
	uint64_t taken; /* bytes */
	bool owed;	/* something waits... */
	bool stuck;	/* ...and nothing was accepted for too long */
};

struct failover {
	LIST_ENTRY(failover) entry;
	struct bridge *bridge;
	struct route *route;
	struct event *event;
	struct task task;
	uint64_t began_ns;
	uint64_t timer_at;   /* 0: not set */
	uint64_t measure_at; /* when output is measured next; 0: never */
	struct member member[];
};

static inline struct node *
failover_node(const struct failover *f, unsigned i)
{
	return f->bridge->node[f->route->choice->member[i]];
}

/* --- failover_live.c ------------------------------------------------------ */

/* Finds out which members are live, and sets live_ns. */
void failover_find_live(struct failover *f, uint64_t now);
/*
 * Whether a destination that is not open counts as live, because the route has just begun
 * to use it.
 */
bool failover_is_opening(const struct failover *f, unsigned i, uint64_t now);
/* Why a member is not live, as the end of a sentence about it.  Returns buf. */
const char *failover_reason(
    const struct failover *f, unsigned i, char *buf, size_t size);

/* --- failover.c ----------------------------------------------------------- */

/* Decides which one is used, and sets the timer to when that may change by time alone. */
void failover_look(struct failover *f, uint64_t now);
/* Sets the timer to that time, or an earlier one for which it is set. */
void failover_look_at(struct failover *f, uint64_t at);
/* The function of the timer; arg: the failover. */
void failover_on_timer(evutil_socket_t fd, short what, void *arg);
/* The label of the task. */
void failover_label(const struct task *task, char *buf, size_t size);

#endif
