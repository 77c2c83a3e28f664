/*
 * systems: MAVLink systems that were heard from an endpoint.
 */
#include <stdlib.h>

#include "message.h"
#include "systems.h"

/* A component that was silent for so long may have started again. */
#define SEQUENCE_AGE (10 * NSEC_PER_SEC)
#define PROBES 8

/* The entry of the component, or a vacant one; NULL: there is none. */
static struct component *
find(struct systems *s, const struct mavlink *m)
{
	unsigned first = m->system * 31u + m->component;
	struct component *c;

	for (unsigned i = 0; i < PROBES; i++) {
		c = &s->component[(first + i) % COMPONENTS_MAX];
		if (!c->used ||
		    (c->system == m->system && c->number == m->component))
			return c;
	}
	return NULL;
}

static void
follow(struct systems *s, const struct mavlink *m, bool fresh)
{
	struct component *c = find(s, m);
	uint8_t ahead;

	if (c == NULL)
		return;
	ahead = (uint8_t)(m->sequence - c->next);
	if (!c->used || fresh) {
		*c = (struct component){ .system = m->system,
			.number = m->component,
			.used = true };
		ahead = 0;
	} else if (ahead >= 128)
		return;
	s->lost[m->system] += ahead;
	c->next = (uint8_t)(m->sequence + 1);
}

void
systems_hear(
    struct systems **systems, const uint8_t *payload, size_t len, uint64_t now)
{
	struct systems *s = *systems;
	struct mavlink m;
	uint64_t before;

	if (!mavlink_read(payload, len, &m))
		return;
	if (s == NULL && (s = *systems = calloc(1, sizeof(*s))) == NULL)
		return;
	before = s->heard_ns[m.system];
	s->heard_ns[m.system] = now;
	follow(s, &m, before == 0 || now - before >= SEQUENCE_AGE);
}

bool
systems_accept(const struct systems *systems, const uint8_t *payload,
    size_t len, uint64_t now)
{
	struct mavlink m;

	return !mavlink_read(payload, len, &m) || m.target == 0 ||
	    system_is_known(systems, m.target, now);
}
