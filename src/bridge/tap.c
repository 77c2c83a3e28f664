/*
 * tap: notifies taps of forwarded frames, and of what exchanges do with requests.
 */
#include <stdlib.h>
#include <string.h>

#include "forward.h"

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
tap_wants(const struct tap *tap, const char *from, const char *to)
{
	if (tap->names == NULL)
		return true;
	for (char **name = tap->names; *name != NULL; name++)
		if (in_list(from, *name) || in_list(to, *name))
			return true;
	return false;
}

void
taps_tell(
    const struct port *from, const char *to, const uint8_t *payload, size_t len)
{
	struct tap *tap;

	TAILQ_FOREACH(tap, &from->node->bridge->taps, entry)
		if (tap_wants(tap, from->conf->name, to))
			tap->frame(tap, from, to, payload, len);
}

void
taps_note(struct bridge *b, const char *from, const char *to,
    const struct queued *q, const char *note)
{
	struct tap *tap;

	TAILQ_FOREACH(tap, &b->taps, entry)
		if (tap->note != NULL && q->payload != NULL &&
		    tap_wants(tap, from, to))
			tap->note(tap, from, to, q->payload, q->len, note);
}

void
tap_free_names(char **names)
{
	for (size_t i = 0; names != NULL && names[i] != NULL; i++)
		free(names[i]);
	free(names);
}
