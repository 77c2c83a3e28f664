/*
 * telnet_filter: joins the telnet codec and a link.
 */
#include <stdlib.h>
#include <sys/socket.h>

#include "telnet_filter.h"

static struct telnet_filter *
of(struct filter *filter)
{
	return CONTAINER_OF(filter, struct telnet_filter, filter);
}

static const struct telnet_filter *
of_const(const struct filter *filter)
{
	return CONTAINER_OF(filter, struct telnet_filter, filter);
}

/* Every event is handled before more input is decoded, so that there is room. */
static void
send_command(void *arg, const uint8_t *data, size_t len)
{
	filter_command(arg, data, len);
}

/* Handles the event; false: it must wait. */
static bool
handle(struct telnet_filter *t, bool after_data, bool executes)
{
	const struct telnet_handler *handler = t->handler;

	if (t->event == TELNET_NOTHING)
		return true;
	if (executes && handler->event != NULL &&
	    !handler->event(t, t->event, after_data))
		return false;
	t->event = TELNET_NOTHING;
	t->filter.commands++;
	return true;
}

static void
count_malformed(struct telnet_filter *t)
{
	t->filter.link->endpoint->bad_commands += t->telnet.malformed;
	t->telnet.malformed = 0;
}

static size_t
decode(struct filter *filter, uint8_t *out, const uint8_t *in, size_t len,
    size_t *used, bool executes)
{
	struct telnet_filter *t = of(filter);
	size_t n = 0, done = 0, part;

	do {
		filter->waits = !handle(t, n > 0, executes);
		if (filter->waits || done == len ||
		    (executes && !filter_has_room(filter)))
			break;
		n += telnet_decode(&t->telnet, out + n, in + done, len - done,
		    &part, &t->event);
		done += part;
		if (t->telnet.malformed > 0)
			count_malformed(t);
	} while (t->event != TELNET_NOTHING || done < len);
	*used = done;
	return n;
}

static size_t
plain(const struct filter *filter, const uint8_t *data, size_t len)
{
	return telnet_plain(&of_const(filter)->telnet, data, len);
}

static size_t
encode(const struct filter *filter, const uint8_t *data, size_t len,
    uint8_t *out, size_t size, size_t *used)
{
	return telnet_encode(
	    &of_const(filter)->telnet, data, len, out, size, used);
}

static void
save(const struct filter *filter, struct pack *p)
{
	const struct telnet_filter *t = of_const(filter);

	pack_number(p, t->event);
	telnet_save(&t->telnet, p);
	if (t->handler->save != NULL)
		t->handler->save(t, p);
}

static void
restore(struct filter *filter, struct unpack *u)
{
	struct telnet_filter *t = of(filter);

	t->event = (enum telnet_event)unpack_number_to(u, TELNET_COMMAND);
	telnet_restore(&t->telnet, u);
	if (t->handler->restore != NULL)
		t->handler->restore(t, u);
}

static void
label(const struct filter *filter, char *buf, size_t size)
{
	const struct telnet_filter *t = of_const(filter);

	if (t->handler->label != NULL)
		t->handler->label(t, buf, size);
}

static void
release(struct filter *filter)
{
	struct telnet_filter *t = of(filter);

	if (t->handler->free != NULL)
		t->handler->free(t);
	else
		free(t);
}

static const struct filter_ops telnet_ops = {
	.decode = decode,
	.plain = plain,
	.encode = encode,
	.save = save,
	.restore = restore,
	.label = label,
	.free = release,
};

static void
attach(struct link *link, struct telnet_filter *t,
    const struct telnet_handler *handler)
{
	const int on = 1;

	t->handler = handler;
	link_set_filter(link, &t->filter, &telnet_ops);
	/* The urgent byte of a "Synch" is a part of the stream. */
	if (link->fd >= 0)
		setsockopt(link->fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
}

void
telnet_attach_agreed(struct link *link, struct telnet_filter *t,
    const struct telnet_handler *handler, const struct telnet *agreed)
{
	attach(link, t, handler);
	t->telnet = *agreed;
	t->telnet.send = send_command;
	t->telnet.arg = &t->filter;
}

void
telnet_attach(struct link *link, struct telnet_filter *t,
    const struct telnet_handler *handler)
{
	attach(link, t, handler);
	telnet_init(&t->telnet, handler->options, handler->noptions,
	    send_command, &t->filter);
	if (link->adopted)
		telnet_assume(&t->telnet);
	else
		telnet_offer(&t->telnet);
}

bool
telnet_filter_sub(
    struct telnet_filter *t, uint8_t option, const uint8_t *data, size_t len)
{
	uint8_t bytes[TELNET_SUB_SIZE(UINT8_MAX)];

	if (len > UINT8_MAX)
		return false;
	return filter_command(
	    &t->filter, bytes, telnet_sub(bytes, option, data, len));
}

/* --- a client of a console server ------------------------------------------ */

static const struct telnet_option client_options[] = {
	{ TELNET_BINARY, true, true, true, true },
	{ TELNET_SGA, true, true, true, true },
	{ TELNET_ECHO, false, true, false, false },
};

const struct telnet_handler telnet_client = {
	.options = client_options,
	.noptions = NELEM(client_options),
};
