/*
 * link_filter: links whose bytes are changed between transport and owner.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/bufferevent.h>
#include <event2/event.h>

#include "link.h"
#include "link_filter.h"

/* How many bytes of the owner are encoded at a time. */
#define CHUNK ((size_t)32 * 1024)
/* The time until a command that waits is tried again. */
#define WAIT_MIN NSEC_PER_MSEC
#define WAIT_MAX (16 * NSEC_PER_MSEC)

/* --- events --------------------------------------------------------------- */

static void
on_retry(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	filter_retry(arg);
}

void
link_set_filter(
    struct link *link, struct filter *filter, const struct filter_ops *ops)
{
	filter->ops = ops;
	filter->link = link;
	link->filter = filter;
	link->filtered = true;
}

int
link_filter_start(
    struct link *link, void (*writable)(evutil_socket_t, short, void *))
{
	struct filter *filter = link->filter;
	struct event_base *base = link->endpoint->base;

	if (filter == NULL)
		return 0;
	filter->retry = evtimer_new(base, on_retry, filter);
	if (filter->retry == NULL)
		return -ENOMEM;
	if (link->ops != NULL)
		return 0;
	filter->writable = event_new(base, link->fd, EV_WRITE, writable, link);
	if (filter->writable == NULL || event_add(filter->writable, NULL) < 0)
		return -ENOMEM;
	return 0;
}

void
link_filter_free(struct link *link)
{
	struct filter *filter = link->filter;

	if (filter == NULL)
		return;
	link->filter = NULL;
	link->filtered = false;
	if (filter->writable != NULL)
		event_free(filter->writable);
	if (filter->retry != NULL)
		event_free(filter->retry);
	free(filter->input);
	filter->ops->free(filter);
}

/* --- in ------------------------------------------------------------------- */

int
filter_received(struct filter *filter, const uint8_t *in, size_t len)
{
	uint8_t *input = NULL;
	int r = 0;

	if (len > 0 && (input = malloc(len)) == NULL) {
		r = -ENOMEM;
		len = 0;
	}
	if (len > 0)
		memcpy(input, in, len);
	free(filter->input);
	filter->input = input;
	filter->input_len = len;
	return r;
}

/* Keeps input that cannot be decoded yet. */
static void
keep_input(struct filter *filter, const uint8_t *in, size_t len)
{
	if (filter_received(filter, in, len) < 0)
		link_lose(filter->link, LINK_LOST, "out of memory");
}

/* Decodes what was kept; the owner has room for size bytes. */
static size_t
decode_kept(struct filter *filter, uint8_t *buf, size_t size)
{
	size_t used, n, len = MIN(size, filter->input_len);

	n = filter->ops->decode(
	    filter, buf, filter->input, len, &used, filter->link->up);
	if (used == filter->input_len)
		keep_input(filter, NULL, 0);
	else if (used > 0) {
		filter->input_len -= used;
		memmove(filter->input, filter->input + used, filter->input_len);
	}
	return n;
}

static size_t
decode_read(struct filter *filter, uint8_t *buf, size_t size)
{
	struct link *link = filter->link;
	ssize_t r = link_get(link, buf, size);
	size_t used, n;

	if (r == 0)
		link->read_result = END_OF_INPUT;
	else if (r < 0 && errno != EAGAIN)
		link->read_result = errno;
	if (r <= 0)
		return 0;
	link->heard_ns = task_now();
	n = filter->ops->decode(filter, buf, buf, (size_t)r, &used, link->up);
	if (used < (size_t)r)
		keep_input(filter, buf + used, (size_t)r - used);
	return n;
}

static bool
is_stopped(const struct filter *filter)
{
	return filter->waits || !filter_has_room(filter);
}

/* Stops or resumes reading the link. */
static void
hold(struct filter *filter, bool on)
{
	struct link *link = filter->link;

	if (filter->held == on)
		return;
	filter->held = on;
	if (!on || !filter->waits)
		filter->wait_ns = 0;
	link_wait(link);
	if (on && link->fd >= 0)
		link_watch_hangup(link);
}

/* The command that was received is tried again, after the owner has processed n bytes, or
 * later. */
static void
try_again(struct filter *filter, size_t n)
{
	struct timeval tv;

	if (n > 0 || !is_stopped(filter)) {
		link_trigger(filter->link, EV_READ);
		return;
	}
	hold(filter, true);
	if (!filter->waits)
		return;
	filter->wait_ns = MIN(MAX(2 * filter->wait_ns, WAIT_MIN), WAIT_MAX);
	tv = to_timeval(filter->wait_ns);
	event_add(filter->retry, &tv);
}

size_t
link_filter_read(struct link *link, uint8_t *buf, size_t size)
{
	struct filter *filter = link->filter;
	size_t n;

	filter->decoding = true;
	if (is_stopped(filter) || filter->input_len > 0)
		n = decode_kept(filter, buf, size);
	else
		n = decode_read(filter, buf, size);
	filter->decoding = false;
	if (link->up) {
		link_filter_flush(link);
		if (is_stopped(filter) || filter->input_len > 0)
			try_again(filter, n);
		else
			hold(filter, false);
	}
	link->rx_bytes += n;
	return n;
}

void
link_filter_label(const struct filter *filter, char *buf, size_t size)
{
	if (filter->waits)
		filter->ops->label(filter, buf, size);
	else
		snprintf(buf, size,
		    "room in %s's output, for the answers to its commands",
		    filter->link->name);
}

void
filter_retry(struct filter *filter)
{
	if (filter->held)
		link_trigger(filter->link, EV_READ);
}

/* --- out ------------------------------------------------------------------ */

bool
filter_command(struct filter *filter, const uint8_t *data, size_t len)
{
	if (len > FILTER_REST_MAX - filter->rest_len)
		return false;
	memcpy(filter->rest + filter->rest_len, data, len);
	filter->rest_len += len;
	if (!filter->decoding && filter->link->up)
		link_filter_flush(filter->link);
	return true;
}

void
filter_suspend(struct filter *filter, bool on)
{
	filter->suspended = on;
	link_wait(filter->link);
}

/* Writes the rest; -1: not all of it was written, see errno. */
static int
write_rest(struct link *link)
{
	struct filter *filter = link->filter;
	bool had_room = filter_has_room(filter);
	ssize_t n;

	if (filter->rest_len == 0)
		return 0;
	n = link_put(link, filter->rest, filter->rest_len);
	if (n < 0)
		return -1;
	filter->rest_len -= (size_t)n;
	memmove(filter->rest, filter->rest + n, filter->rest_len);
	if (!had_room && filter_has_room(filter))
		filter_retry(filter);
	errno = EAGAIN;
	return filter->rest_len == 0 ? 0 : -1;
}

bool
link_filter_flush(struct link *link)
{
	bool waits;

	if (link->unwritable)
		link->filter->rest_len = 0;
	if (link->filter->rest_len == 0 || !link->up)
		return link->filter->rest_len == 0;
	waits = write_rest(link) < 0;
	if (waits && errno != EAGAIN && errno != ENOBUFS)
		link_write_failed(link, errno);
	link_wait(link);
	return !waits;
}

/*
 * Of the encoding of data, out bytes were written: returns how many of its bytes that
 * are.  The rest of one that was written partially is kept.
 */
static size_t
written(struct filter *filter, const uint8_t *data, size_t len, size_t out)
{
	uint8_t encoded[FILTER_ENCODED_MAX], waste[1024];
	size_t done = 0, n, used;

	while (out > 0) {
		n = filter->ops->encode(filter, data + done, len - done, waste,
		    MIN(out, sizeof(waste)), &used);
		if (n == 0)
			break;
		done += used;
		out -= n;
	}
	if (out == 0)
		return done;
	n = filter->ops->encode(
	    filter, data + done, len - done, encoded, sizeof(encoded), &used);
	memcpy(filter->rest, encoded + out, n - out);
	filter->rest_len = n - out;
	return done + used;
}

ssize_t
link_filter_write(struct link *link, const uint8_t *data, size_t len)
{
	static uint8_t encoded[2 * CHUNK];
	struct filter *filter = link->filter;
	size_t done = 0, n, used;
	ssize_t r;

	if (write_rest(link) < 0)
		return -1;
	errno = EAGAIN;
	if (filter->suspended)
		return -1;
	if (filter->ops->plain(filter, data, len) == len)
		return link_put(link, data, len);
	while (done < len) {
		n = filter->ops->encode(filter, data + done, len - done,
		    encoded, sizeof(encoded), &used);
		r = link_put(link, encoded, n);
		if (r < 0)
			return done > 0 ? (ssize_t)done : -1;
		if ((size_t)r < n)
			return (ssize_t)(done +
			    written(
				filter, data + done, len - done, (size_t)r));
		done += used;
	}
	return (ssize_t)done;
}

/* --- for the next process ------------------------------------------------- */

void
link_filter_save(const struct link *link, struct pack *p)
{
	const struct filter *filter = link->filter;

	if (filter == NULL)
		return;
	pack_number(p, filter->waits);
	pack_number(p, filter->suspended);
	pack_bytes(p, filter->input, filter->input_len);
	pack_bytes(p, filter->rest, filter->rest_len);
	filter->ops->save(filter, p);
}

void
link_filter_restore(struct link *link, const uint8_t *data, size_t len)
{
	struct unpack u = { .at = data, .left = len };
	struct filter *filter = link->filter;
	struct span input, rest;

	if (filter == NULL || len == 0)
		return;
	filter->waits = unpack_bool(&u);
	filter->suspended = unpack_bool(&u);
	unpack_span(&u, &input);
	unpack_span(&u, &rest);
	filter->ops->restore(filter, &u);
	if (u.failed || rest.len > sizeof(filter->rest)) {
		link_lose(link, LINK_LOST, "its state was lost at the restart");
		return;
	}
	keep_input(filter, input.at, input.len);
	memcpy(filter->rest, rest.at, rest.len);
	filter->rest_len = rest.len;
	if (is_stopped(filter) || filter->input_len > 0)
		link_trigger(link, EV_READ);
	link_wait(link);
}
