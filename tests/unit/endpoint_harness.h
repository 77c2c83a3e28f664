/*
 * endpoint_harness: one endpoint in a loop, with an owner that keeps what comes in.
 */
#ifndef ENDPOINT_HARNESS_H
#define ENDPOINT_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <event2/event.h>

#include "endpoint.h"
#include "log.h"

#define PATIENCE_NS (10 * NSEC_PER_SEC)

static struct event_base *base;
static char directory[64];
static uint8_t got[1 << 20];
static size_t got_len;

static int up_result; /* of owner_up() */

static int
owner_up(struct link *link)
{
	if (up_result == 0)
		link_set_reading(link, true);
	return up_result;
}

static void
owner_down(struct link *link, const char *why)
{
	(void)why;
	/* It is closed after this, and not twice. */
	if (link->fd >= 0)
		assert_int_not_equal(fcntl(link->fd, F_GETFD), -1);
}

static void
owner_readable(struct link *link)
{
	got_len += link_read(link, got + got_len, sizeof(got) - got_len, true);
}

static void
owner_writable(struct link *link)
{
	(void)link;
}

static void
owner_closing(struct link *link)
{
	(void)link;
}

static void
owner_cut(struct link *link)
{
	(void)link;
}

static void
owner_label(const struct link *link, bool writing, char *buf, size_t size)
{
	snprintf(buf, size, "%s %d", link->name, writing);
}

static void
owner_state(struct endpoint *ep)
{
	(void)ep;
}

static struct endpoint *
owner_line(struct endpoint *ep, const char *name)
{
	(void)ep, (void)name;
	return NULL;
}

static void
owner_progress(const struct endpoint *ep, uint64_t *done, uint64_t *waiting)
{
	(void)ep;
	*done = *waiting = 0;
}

static const struct endpoint_owner owner = {
	.up = owner_up,
	.down = owner_down,
	.readable = owner_readable,
	.writable = owner_writable,
	.closing = owner_closing,
	.cut = owner_cut,
	.label = owner_label,
	.state = owner_state,
	.line = owner_line,
	.progress = owner_progress,
};

/* A section of that type with keys and values in turn, NULL at the end. */
static inline struct endpoint_conf *
make_conf(const struct endpoint_ops *ops, const char *const *keys)
{
	struct endpoint_conf *conf = endpoint_conf_new(ops);
	struct error err = { "" };

	assert_non_null(conf);
	conf->name = strdup("ar1");
	framing_conf_init(&conf->framing);
	assert_int_equal(key_defaults(endpoint_common_keys, conf), 0);
	assert_int_equal(key_defaults(ops->keys, conf->type_conf), 0);
	conf->reopen_min = conf->reopen_max = 5 * NSEC_PER_MSEC;
	for (; keys[0] != NULL; keys += 2) {
		const struct key *key = key_find(ops->keys, keys[0]);

		assert_non_null(key);
		if (key_parse(key, conf->type_conf, keys[1], &err) < 0)
			fail_msg("%s", err.text);
		if (key->given != 0)
			*(bool *)((char *)conf->type_conf + key->given) = true;
	}
	return conf;
}

static struct endpoint *
make_endpoint(const struct endpoint_ops *ops, const char *const *keys)
{
	struct endpoint_conf *conf = make_conf(ops, keys);
	struct endpoint *ep;
	struct error err = { "" };

	if (ops->check(conf, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(endpoint_new(base, conf, &owner, NULL, &ep), 0);
	return ep;
}

/* Turns the loop until the condition holds. */
#define UNTIL(condition)                                           \
	do {                                                       \
		uint64_t until_ = now_ns() + PATIENCE_NS;          \
		struct timeval tick_ = { 0, 5000 };                \
		while (!(condition)) {                             \
			if (now_ns() > until_)                     \
				fail_msg("never: %s", #condition); \
			event_base_loopexit(base, &tick_);         \
			event_base_loop(base, EVLOOP_ONCE);        \
		}                                                  \
	} while (0)

/* Turns it for a while in which nothing is to happen. */
static inline void
turn(void)
{
	for (int i = 0; i < 20; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

static inline const char *
in_directory(const char *name)
{
	static char path[4][128];
	static unsigned n;
	char *p = path[n++ % NELEM(path)];

	snprintf(p, sizeof(path[0]), "%s/%s", directory, name);
	return p;
}

static int
set_up(void **state)
{
	(void)state;
	snprintf(directory, sizeof(directory), "/tmp/endpoint-test.XXXXXX");
	log_set_level(LOG_ERR);
	return mkdtemp(directory) != NULL && (base = event_base_new()) != NULL
	    ? 0
	    : -1;
}

static int
tear_down(void **state)
{
	char command[128];

	(void)state;
	got_len = 0;
	link_machinery_free();
	event_base_free(base);
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	return system(command) == 0 ? 0 : -1;
}

#endif
