/*
 * tap_list: the taps of a bridge.
 */
#include "exchange.h"

void
bridge_tap(struct bridge *b, struct tap *tap)
{
	TAILQ_INSERT_TAIL(&b->taps, tap, entry);
	taps_changed(b);
}

void
bridge_untap(struct bridge *b, struct tap *tap)
{
	TAILQ_REMOVE(&b->taps, tap, entry);
	exchange_forget_tap(b, tap);
	tap_free_names(tap->names);
	tap->names = NULL;
	taps_changed(b);
}
