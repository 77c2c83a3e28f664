/*
 * link_filter: changes the bytes of a link between its transport and its owner, such as
 * the telnet protocol, which doubles some bytes and has commands between them.
 *
 * The owner reads and writes its own bytes; those that wait in the bufferevent are its
 * own, too.  They are encoded when they are written.  Of a byte whose encoding was
 * written partially, the rest is kept here, and written first.  Commands are appended to
 * that rest, so that they are never inside the encoding of a byte.
 *
 * A filter may have to wait before it executes a command that was received.  The input
 * after the command is then kept, and the link is not read until the command was executed.
 */
#ifndef LINK_FILTER_H
#define LINK_FILTER_H

#include <event2/event.h>

#include "endpoint.h"
#include "pack.h"

/* The most that is kept to be written first. */
#define FILTER_REST_MAX 2048
/* The room that every command finds there, see filter_command(). */
#define FILTER_COMMAND_MAX 640
/* The most bytes that one byte is encoded as. */
#define FILTER_ENCODED_MAX 2

/* All members must be set, unless their comment says otherwise. */
struct filter_ops {
	/*
	 * Decodes up to len bytes of input to out, which may be in.  Returns the number of
	 * bytes written to out.  *used: how much of the input was decoded; it is all,
	 * unless filter->waits was set, or there is no room for commands
	 * (filter_has_room()).  Called again, also with no input, until neither is the
	 * case.  executes: false if commands must be ignored, because the link is lost.
	 */
	size_t (*decode)(struct filter *, uint8_t *out, const uint8_t *in,
	    size_t len, size_t *used, bool executes);
	/* The number of bytes at the beginning of data that are sent as they are. */
	size_t (*plain)(const struct filter *, const uint8_t *data, size_t len);
	/*
	 * Encodes whole bytes of data, as many as fit into size bytes at out; returns the
	 * number of bytes written to out.  *used: the number of bytes encoded.
	 */
	size_t (*encode)(const struct filter *, const uint8_t *data, size_t len,
	    uint8_t *out, size_t size, size_t *used);
	/* The state for the next process, besides what this header declares. */
	void (*save)(const struct filter *, struct pack *);
	/* The input is not trusted. */
	void (*restore)(struct filter *, struct unpack *);
	/* Describes what a filter that waits is waiting for. */
	void (*label)(const struct filter *, char *buf, size_t size);
	/* The link is closed: frees the filter. */
	void (*free)(struct filter *);
};

/* The first member of the state of each kind of filter. */
struct filter {
	const struct filter_ops *ops;
	struct link *link;
	/* A command was received that cannot be executed yet; it is tried again after
	 * wait_ns, which doubles each time, or when filter_retry() is called. */
	bool waits;
	bool
	    suspended; /* no bytes of the owner are written, see filter_suspend() */
	bool held;     /* the link is not read */
	bool decoding; /* commands are written when all input is decoded */
	uint64_t wait_ns;
	struct event *writable; /* of a descriptor */
	struct event *retry;
	uint8_t *input; /* received, but not decoded */
	size_t input_len;
	uint64_t commands; /* that were received */
	size_t rest_len;
	uint8_t rest[FILTER_REST_MAX];
};

/* --- for filters ---------------------------------------------------------- */

/*
 * Sets the filter of a link that is being created (endpoint_ops.attach), which frees it.
 * Commands can be sent from then on.
 */
void link_set_filter(
    struct link *link, struct filter *filter, const struct filter_ops *ops);
/* Whether there is room for a command, and its answers are being written. */
static inline bool
filter_has_room(const struct filter *filter)
{
	return filter->rest_len <= FILTER_REST_MAX - FILTER_COMMAND_MAX;
}
/* Sends a command, after the byte that is partially written, and before other bytes.
 * False: there is no room for it. */
bool filter_command(struct filter *filter, const uint8_t *data, size_t len);
/* Has the filter decode input that was received before it was set.  -ENOMEM. */
int filter_received(struct filter *filter, const uint8_t *in, size_t len);
/* What the filter waits for may have happened. */
void filter_retry(struct filter *filter);
/* Stops writing the bytes of the owner, as if the other side did not read them. */
void filter_suspend(struct filter *filter, bool on);

/* --- for link.c and the owner --------------------------------------------- */

/* Creates the events of a filter, if the link has one; writable is called when a
 * descriptor is.  -ENOMEM. */
int link_filter_start(
    struct link *link, void (*writable)(evutil_socket_t, short, void *));
/* Nothing more is written to the link. */
static inline void
link_filter_stop_writing(struct link *link)
{
	if (link->filter != NULL && link->filter->writable != NULL)
		event_del(link->filter->writable);
}
/* Whether the filter has something to do without more input. */
static inline bool
link_filter_awaits(const struct link *link)
{
	const struct filter *filter = link->filter;

	return filter->input_len > 0 || filter->waits || filter->held;
}
/* The link is lost. */
static inline void
link_filter_stop(struct link *link)
{
	link_filter_stop_writing(link);
	if (link->filter != NULL && link->filter->retry != NULL)
		event_del(link->filter->retry);
}
/* Frees the filter. */
void link_filter_free(struct link *link);
/* As link_read() and link_put(), of the owner's bytes. */
size_t link_filter_read(struct link *link, uint8_t *buf, size_t size);
ssize_t link_filter_write(struct link *link, const uint8_t *data, size_t len);
/* Writes what is to be written first; false: not all of it was written. */
bool link_filter_flush(struct link *link);
/* Describes why the link is held. */
void link_filter_label(const struct filter *filter, char *buf, size_t size);
/* Saves the state of the filter, for the next process; nothing without a filter. */
void link_filter_save(const struct link *link, struct pack *p);
/* Restores it for an adopted link that is up; a failure closes the link. */
void link_filter_restore(struct link *link, const uint8_t *data, size_t len);

#endif
