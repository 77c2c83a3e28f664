/*
 * tap: notifies taps of forwarded frames.
 */
#include <stdlib.h>
#include <string.h>

#include "exchange.h"

/* Whether word is in the list, which is separated by commas. */
static bool
in_list(const char *list, const char *word)
{
	size_t len = strlen(word), n;

	for (;; list += n + 1) {
		n = strcspn(list, ",");
		if (n == len && memcmp(list, word, len) == 0)
			return true;
		if (list[n] == '\0')
			return false;
	}
}

static bool
tap_wants(const struct tap *tap, const struct port *from, const char *to)
{
	if (tap->names == NULL)
		return true;
	for (char **name = tap->names; *name != NULL; name++)
		if (strcmp(*name, from->conf->name) == 0 || in_list(to, *name))
			return true;
	return false;
}

void
taps_tell(
    const struct port *from, const char *to, const uint8_t *payload, size_t len)
{
	struct tap *tap;

	TAILQ_FOREACH(tap, &from->node->bridge->taps, entry)
		if (tap_wants(tap, from, to))
			tap->frame(tap, from, to, payload, len);
}

void
bridge_tap(struct bridge *b, struct tap *tap)
{
	TAILQ_INSERT_TAIL(&b->taps, tap, entry);
}

void
bridge_untap(struct bridge *b, struct tap *tap)
{
	TAILQ_REMOVE(&b->taps, tap, entry);
	exchange_forget_tap(b, tap);
	tap_free_names(tap->names);
	tap->names = NULL;
}

void
tap_free_names(char **names)
{
	for (size_t i = 0; names != NULL && names[i] != NULL; i++)
		free(names[i]);
	free(names);
}
