/*
 * systems: which MAVLink systems were heard from an endpoint, and how many of their
 * messages were lost on the way.
 *
 * A message that is addressed to a system is forwarded only to endpoints from which the
 * system was heard lately; others go everywhere.
 *
 * Each component of a system numbers its messages, modulo 256.  A number that is ahead of
 * the expected one by less than half of that is a loss; any other one is of a message that
 * was late or repeated, or of a component that has started again.
 */
#ifndef SYSTEMS_H
#define SYSTEMS_H

#include "util.h"

/* How long a system is remembered. */
#define SYSTEM_AGE (60 * NSEC_PER_SEC)
#define SYSTEMS_MAX 256
/* The components whose numbers are followed, per endpoint. */
#define COMPONENTS_MAX 256

struct systems {
	uint64_t heard_ns[SYSTEMS_MAX]; /* 0: never */
	uint64_t lost[SYSTEMS_MAX];	/* messages of its components */
	struct component {
		uint8_t system, number, next; /* the next sequence number */
		bool used;
	} component[COMPONENTS_MAX];
};

/*
 * A message came from the endpoint of *systems at time now; NULL: of none before.  Without
 * memory it is not remembered.
 */
void systems_hear(
    struct systems **systems, const uint8_t *payload, size_t len, uint64_t now);
/*
 * Whether the message is to be forwarded to an endpoint from which these systems were
 * heard; NULL: none.
 */
bool systems_accept(const struct systems *systems, const uint8_t *payload,
    size_t len, uint64_t now);
static inline bool
system_is_known(const struct systems *systems, unsigned system, uint64_t now)
{
	return systems != NULL && systems->heard_ns[system] != 0 &&
	    now - systems->heard_ns[system] < SYSTEM_AGE;
}

#endif
