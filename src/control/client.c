/*
 * client: functions of commands for the reply of a client, and for its tap.
 */
#include <errno.h>

#include <event2/buffer.h>

#include "client.h"

void
client_error(struct client *c, const char *message)
{
	char line[CLIENT_ERROR_MAX];

	printable(message, line, sizeof(line));
	evbuffer_add_printf(c->reply, "ERR %s\n", line);
}

int
client_frames(struct client *c)
{
	if (c->frames == NULL)
		c->frames = evbuffer_new();
	return c->frames != NULL ? 0 : -ENOMEM;
}

void
client_tap(struct client *c,
    void (*frame)(struct tap *, const struct port *, const char *,
	const uint8_t *, size_t),
    void (*unanswered)(struct tap *, bool))
{
	const struct tap tap = { .frame = frame, .unanswered = unanswered };

	client_tap_all(c, &tap);
}

void
client_tap_all(struct client *c, const struct tap *tap)
{
	char **names = c->tap.names;

	c->tap = *tap;
	c->tap.names = names;
	c->tapped = true;
	bridge_tap(c->bridge, &c->tap);
}

void
client_untap(struct client *c)
{
	if (c->tapped)
		bridge_untap(c->bridge, &c->tap);
	if (c->listens)
		log_unlisten(&c->listener);
	c->tapped = c->listens = false;
}
