/*
 * tap: notifies taps of forwarded frames and what becomes of them, of what exchanges do with
 * requests, of discarded input, and of bytes.
 *
 * The outcome of a frame is collected while it is delivered: the functions of the data path
 * that write, queue or drop it report each destination here.  Only one frame is delivered at
 * a time, so there is one outcome; it is recognized by its payload.  What happens to a frame
 * afterwards, when it has been queued, is notified separately.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "forward.h"

/* The maximum length of an outcome; the destinations beyond it are counted. */
#define OUTCOME_MAX 512
#define OUTCOME_ROOM (OUTCOME_MAX - 32)

bool taps_see_bytes;

static struct {
	const uint8_t *payload; /* NULL: none is being collected */
	const char *kind;	/* of the last destination: "sent to " */
	unsigned more;		/* destinations that had no room */
	char text[OUTCOME_MAX];
} outcome;

/*
 * Whether the name of an endpoint is in the list, which is separated by commas.  A peer, such
 * as lan#1, counts as its endpoint.
 */
static bool
in_list(const char *list, const char *word)
{
	size_t len = strlen(word), n;

	for (;; list += n + 1) {
		n = strcspn(list, ",");
		if (strcspn(list, ",#") == len && memcmp(list, word, len) == 0)
			return true;
		if (list[n] == '\0')
			return false;
	}
}

static bool
shows(const struct tap *tap, const char *from, const char *to)
{
	if (tap->names == NULL)
		return true;
	for (char **name = tap->names; *name != NULL; name++)
		if (in_list(from, *name) || in_list(to, *name))
			return true;
	return false;
}

/* What the tap asks for, as enum tapped. */
static unsigned
wants(const struct tap *tap)
{
	bool frames = tap->frame != NULL || tap->outcome != NULL ||
	    tap->sent != NULL || tap->note != NULL;

	return (frames ? TAPPED_FRAMES : 0) |
	    (tap->bad != NULL ? TAPPED_BAD : 0) |
	    (tap->bytes != NULL ? TAPPED_BYTES : 0) |
	    (tap->lost != NULL ? TAPPED_LOST : 0);
}

void
taps_changed(struct bridge *b)
{
	const struct tap *tap;

	b->tapped = 0;
	TAILQ_FOREACH(tap, &b->taps, entry)
		b->tapped |= wants(tap);
	taps_see_bytes = is_tapped(b, TAPPED_BYTES);
}

/* --- the outcome of a frame ------------------------------------------------ */

void
tap_begin(const uint8_t *payload)
{
	outcome.payload = payload;
	outcome.kind = NULL;
	outcome.more = 0;
	outcome.text[0] = '\0';
}

bool
tap_is_collecting(const uint8_t *payload)
{
	return payload != NULL && payload == outcome.payload;
}

/* Adds one destination; those of one kind are a list: "sent to ar2, lan#1". */
static void
add(const char *kind, const char *name)
{
	size_t at = strlen(outcome.text);

	if (at + strlen(kind) + strlen(name) + 2 > OUTCOME_ROOM)
		outcome.more++;
	else if (outcome.kind == kind)
		append(outcome.text, sizeof(outcome.text), ", %s", name);
	else
		append(outcome.text, sizeof(outcome.text), "%s%s%s",
		    at > 0 ? "; " : "", kind, name);
	outcome.kind = kind;
}

void
tap_sent(const struct port *to, const uint8_t *payload)
{
	static const char kind[] = "sent to ";

	if (tap_is_collecting(payload))
		add(kind, to->link->name);
}

void
tap_queued(const char *to, const uint8_t *payload)
{
	static const char kind[] = "queued for ";

	if (tap_is_collecting(payload))
		add(kind, to);
}

void
tap_rejected(const struct route_target *target, const uint8_t *payload)
{
	static const char kind[] = "rejected by route ";
	char name[ENDPOINT_NAME_MAX + 32];

	if (!tap_is_collecting(payload))
		return;
	for (unsigned i = 0; i < target->nvia; i++) {
		const struct route *route = target->via[i];

		if (!route->filtered)
			continue;
		snprintf(name, sizeof(name), "%s%s", route->name,
		    route_refusal_words[route->refusal]);
		add(kind, name);
	}
}

void
tap_outcome(const uint8_t *payload, const char *fmt, ...)
{
	char text[128];
	va_list ap;

	if (!tap_is_collecting(payload))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	add("", text);
	outcome.kind = NULL;
}

/* The whole outcome, which is no longer collected. */
static const char *
take_outcome(void)
{
	if (outcome.more > 0)
		append(outcome.text, sizeof(outcome.text), "; and %u more",
		    outcome.more);
	outcome.payload = NULL;
	return outcome.text[0] != '\0' ? outcome.text : "no route";
}

/* --- notifying the taps ---------------------------------------------------- */

void
taps_tell(
    const struct port *from, const char *to, const uint8_t *payload, size_t len)
{
	const char *text = take_outcome();
	struct tap *tap;

	if (*to == '\0')
		to = "-";
	TAILQ_FOREACH(tap, &from->node->bridge->taps, entry) {
		if (!shows(tap, from->conf->name, to))
			continue;
		if (tap->frame != NULL)
			tap->frame(tap, from, to, payload, len);
		if (tap->outcome != NULL)
			tap->outcome(tap, from, to, payload, len, text);
	}
}

void
taps_tell_sent(const struct node *to, const uint8_t *payload, size_t len)
{
	const char *text = take_outcome();
	struct tap *tap;

	TAILQ_FOREACH(tap, &to->bridge->taps, entry)
		if (tap->sent != NULL &&
		    shows(tap, "-", to->endpoint->conf->name))
			tap->sent(tap, to, payload, len, text);
}

void
taps_note(struct bridge *b, const char *from, const char *to,
    const struct queued *q, const char *note)
{
	struct tap *tap;

	TAILQ_FOREACH(tap, &b->taps, entry)
		if (tap->note != NULL && q->payload != NULL &&
		    shows(tap, from, to))
			tap->note(tap, from, to, q->payload, q->len, note);
}

void
taps_drop(const struct port *to, enum drop_reason reason,
    const uint8_t *payload, size_t len)
{
	const struct queued q = { .payload = payload, .len = len };
	char note[32];

	if (tap_is_collecting(payload)) {
		tap_outcome(payload, "dropped for %s: %s", to->link->name,
		    drop_reason_names[reason]);
		return;
	}
	snprintf(note, sizeof(note), "dropped: %s", drop_reason_names[reason]);
	taps_note(to->node->bridge, "-", to->link->name, &q, note);
}

void
taps_bad(const struct port *from, enum bad_reason reason, const uint8_t *data,
    size_t len, bool again)
{
	struct tap *tap;

	TAILQ_FOREACH(tap, &from->node->bridge->taps, entry)
		if (tap->bad != NULL && shows(tap, from->conf->name, "-"))
			tap->bad(tap, from, reason, data, len, again);
}

void
taps_lost(const struct node *node, const char *reason, uint64_t n, bool first,
    bool input)
{
	struct tap *tap;

	TAILQ_FOREACH(tap, &node->bridge->taps, entry)
		if (tap->lost != NULL &&
		    shows(tap, node->endpoint->conf->name, "-"))
			tap->lost(tap, node, reason, n, first, input);
}

void
taps_state(const struct node *node)
{
	struct tap *tap;

	TAILQ_FOREACH(tap, &node->bridge->taps, entry)
		if (tap->state != NULL)
			tap->state(tap, node->endpoint);
}

void
taps_bytes(const struct port *port, bool out, const uint8_t *data, size_t len)
{
	struct tap *tap;

	if (len == 0)
		return;
	TAILQ_FOREACH(tap, &port->node->bridge->taps, entry)
		if (tap->bytes != NULL && shows(tap, port->conf->name, "-"))
			tap->bytes(tap, port, out, data, len);
}

void
tap_free_names(char **names)
{
	for (size_t i = 0; names != NULL && names[i] != NULL; i++)
		free(names[i]);
	free(names);
}
