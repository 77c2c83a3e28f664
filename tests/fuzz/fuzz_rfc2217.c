/*
 * fuzz_rfc2217: a client of the RFC 2217 server on a link without a descriptor, and a line
 * that does what the input says.  Whatever the client sends, its data arrives whole and in
 * order, what is written to it decodes to that, memory is bounded, and when the line has
 * room nothing waits.
 *
 * The input is a list of steps: a byte says what is done, and how much.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include <event2/event.h>

#include "line_control.h"
#include "line_use.h"
#include "link.h"
#include "link_filter.h"
#include "log.h"
#include "rfc2217_server.h"
#include "telnet.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define ROOM ((size_t)64 * 1024)
#define TURNS 10000

static struct event_base *base;
static struct rfc2217 *server;
static struct endpoint *line_endpoint, *server_endpoint;
static struct rfc2217_conf server_conf;

/* The client: what it has sent and not been read, and what it has received. */
static struct {
	const uint8_t *input;
	size_t left, room;
	uint8_t received[8 * ROOM];
	size_t nreceived;
} client;

/* The owner: what it has read and written. */
static struct {
	uint8_t in[ROOM], out[ROOM];
	size_t nin, nout;
} own;

/* The line. */
static struct {
	struct line_settings settings;
	unsigned signals;
	bool in_break;
	uint64_t done, waiting;
	int error; /* of what is set */
	struct line_errors errors;
} line;

static void
insist(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "fuzz_rfc2217: %s\n", what);
	abort();
}

/* --- the line -------------------------------------------------------------- */

static int
line_get(const struct endpoint *ep, struct line_settings *ret)
{
	(void)ep;
	*ret = line.settings;
	return 0;
}

static void
line_section(const struct endpoint *ep, struct line_settings *ret,
    unsigned *ret_mask, unsigned *ret_levels)
{
	(void)ep;
	*ret = (struct line_settings){ 9600, { 8, 'N', 1 }, FLOW_NONE };
	*ret_mask = *ret_levels = 0;
}

static int
line_set(struct endpoint *ep, const struct line_settings *s, struct error *err)
{
	(void)ep;
	insist(s->mode.bits >= 5 && s->mode.bits <= 8 && s->mode.stop >= 1 &&
		s->mode.stop <= 2 && strchr("NEOMS", s->mode.parity) != NULL &&
		s->flow >= FLOW_NONE && s->flow <= FLOW_DTRDSR,
	    "a setting that does not exist");
	if (line.error != 0)
		return error_fail(err, line.error, "no");
	line.settings = *s;
	return 0;
}

static int
line_set_signals(struct endpoint *ep, unsigned mask, unsigned levels)
{
	(void)ep;
	line.signals = (line.signals & ~mask) | (levels & mask);
	return line.error;
}

static int
line_signals(const struct endpoint *ep, unsigned *ret)
{
	(void)ep;
	*ret = line.signals;
	return line.error;
}

static int
line_set_break(struct endpoint *ep, bool on)
{
	(void)ep;
	if (line.error == 0)
		line.in_break = on;
	return line.error;
}

static bool
line_in_break(const struct endpoint *ep)
{
	(void)ep;
	return line.in_break;
}

static int
line_purge(struct endpoint *ep, bool input, bool output)
{
	(void)ep;
	insist(input || output, "nothing to discard");
	return line.error;
}

static const struct line_ops line_ops = {
	.get = line_get,
	.section = line_section,
	.set = line_set,
	.set_signals = line_set_signals,
	.signals = line_signals,
	.set_break = line_set_break,
	.in_break = line_in_break,
	.purge = line_purge,
};

static int
line_count_errors(const struct endpoint *ep, struct line_errors *ret)
{
	(void)ep;
	*ret = line.errors;
	return 0;
}

static int
line_break(struct endpoint *ep, uint64_t ns)
{
	(void)ep, (void)ns;
	return line.error;
}

/* --- the owner ------------------------------------------------------------- */

static int
on_up(struct link *link)
{
	link_set_reading(link, true);
	return 0;
}

static void
on_down(struct link *link, const char *why)
{
	(void)link, (void)why;
}

static void
on_readable(struct link *link)
{
	size_t n = link_read(link, own.in + own.nin,
	    MIN(sizeof(own.in) - own.nin, 1000u), false);

	own.nin += n;
	line.waiting += n > 0;
}

static void
on_link(struct link *link)
{
	(void)link;
}

static void
on_label(const struct link *link, bool writing, char *buf, size_t size)
{
	snprintf(buf, size, "%s %d", link->name, writing);
}

static void
on_state(struct endpoint *ep)
{
	(void)ep;
}

static struct endpoint *
on_line(struct endpoint *ep, const char *name)
{
	(void)ep, (void)name;
	return line_endpoint;
}

static void
on_progress(const struct endpoint *ep, uint64_t *done, uint64_t *waiting)
{
	(void)ep;
	*done = line.done;
	*waiting = line.waiting;
}

static const struct endpoint_owner owner = {
	.up = on_up,
	.down = on_down,
	.readable = on_readable,
	.writable = on_link,
	.closing = on_link,
	.cut = on_link,
	.label = on_label,
	.state = on_state,
	.line = on_line,
	.progress = on_progress,
};

/* --- the client ------------------------------------------------------------ */

static ssize_t
client_read(struct link *link, void *buf, size_t size)
{
	size_t n = MIN(client.left, size);

	(void)link;
	if (n == 0)
		return -EAGAIN;
	memcpy(buf, client.input, n);
	client.input += n;
	client.left -= n;
	return (ssize_t)n;
}

static ssize_t
client_write(struct link *link, const void *data, size_t len)
{
	size_t n = MIN(len, client.room);

	(void)link;
	n = MIN(n, sizeof(client.received) - client.nreceived);
	if (n == 0)
		return -EAGAIN;
	memcpy(client.received + client.nreceived, data, n);
	client.nreceived += n;
	client.room -= n;
	return (ssize_t)n;
}

static const struct link_ops client_ops = {
	.read = client_read,
	.write = client_write,
	.wait = on_link,
	.closed = on_link,
};

/* --- endpoints ------------------------------------------------------------- */

static int
do_open(struct endpoint *ep)
{
	endpoint_listening(ep);
	return 0;
}

static void
do_close(struct endpoint *ep)
{
	(void)ep;
}

static int
do_attach(struct link *link)
{
	return rfc2217_attach(server, link);
}

static const struct key no_keys[] = { { .name = NULL } };
static const struct endpoint_ops line_type = {
	.type = "line",
	.keys = no_keys,
	.open = do_open,
	.close = do_close,
	.send_break = line_break,
	.line_errors = line_count_errors,
	.control = &line_ops,
};
static const struct endpoint_ops server_type = {
	.type = "server",
	.keys = no_keys,
	.several = true,
	.open = do_open,
	.close = do_close,
	.attach = do_attach,
};

static struct endpoint *
make(const struct endpoint_ops *ops, const char *name)
{
	struct endpoint_conf *conf = endpoint_conf_new(ops);
	struct endpoint *ep = NULL;

	insist(conf != NULL, "no memory");
	conf->name = strdup(name);
	insist(endpoint_new(base, conf, &owner, NULL, &ep) == 0, "no endpoint");
	endpoint_start(ep);
	return ep;
}

static void
start(void)
{
	log_set_level(-1);
	base = event_base_new();
	server_conf.modem_poll = NSEC_PER_MSEC;
	line_endpoint = make(&line_type, "line");
	server_endpoint = make(&server_type, "server");
	insist(base != NULL &&
		rfc2217_new(server_endpoint, &server_conf, true, &server) == 0,
	    "cannot start");
}

/* --- steps ----------------------------------------------------------------- */

/* What is written has no byte that the answer to AYT has, and no CR. */
static void
write_some(struct link *link, size_t n)
{
	static const uint8_t bytes[] = { 0xff, 0x80, 0xff, 0xff, 0, 0xf0,
		0xfa };
	uint8_t *data = own.out + own.nout;
	ssize_t done;

	n = MIN(n * 8, sizeof(own.out) - own.nout);
	if (n == 0)
		return;
	for (size_t i = 0; i < n; i++)
		data[i] = bytes[(own.nout + i) % sizeof(bytes)];
	done = link_write(link, data, n);
	insist(done >= 0, "a write has failed");
	if ((size_t)done < n)
		insist(link_hand(link, data + done, n - (size_t)done) == 0,
		    "no memory");
	own.nout += n;
}

static void
hand_over(struct link *link)
{
	struct pack before = { .data = NULL }, after = { .data = NULL };

	link_filter_save(link, &before);
	link_filter_restore(link, before.data, before.len);
	insist(link->up, "a state that was saved is refused");
	link_filter_save(link, &after);
	insist(before.len == after.len &&
		memcmp(before.data, after.data, after.len) == 0,
	    "a state changes when it is restored");
	pack_free(&before);
	pack_free(&after);
}

static void
turn(struct link *link)
{
	event_base_loop(base, EVLOOP_NONBLOCK);
	filter_retry(link->filter);
	link_ready(link, EV_READ | EV_WRITE);
	insist(link->filter->input_len <= 1000, "too much input is kept");
}

static void
step(struct link *link, uint8_t what, size_t n)
{
	static const int errors[] = { 0, -ENOTTY, -ENOTCONN, -EIO };

	switch (what) {
	case 0:
		client.left += n;
		break;
	case 1:
		write_some(link, n);
		break;
	case 2:
		client.room += 16 * n;
		break;
	case 3:
		hand_over(link);
		break;
	case 4:
		line.done += line.waiting;
		line.waiting = 0;
		break;
	case 5:
		line.signals ^= (unsigned)n << 5;
		line.errors.frame += n & 1;
		line.errors.breaks += n >> 1 & 1;
		break;
	case 6:
		line.error = errors[n % NELEM(errors)];
		break;
	default:
		for (size_t i = 0; i <= n; i++)
			turn(link);
	}
}

/* --- what must hold -------------------------------------------------------- */

static void
no_answer(void *arg, const uint8_t *data, size_t len)
{
	(void)arg, (void)data, (void)len;
}

/* Decodes without negotiating; returns the length without certain bytes. */
static size_t
decoded(const uint8_t *in, size_t len, uint8_t *out, bool ours)
{
	static uint8_t data[8 * ROOM];
	struct telnet t;
	enum telnet_event event = TELNET_COMMAND;
	size_t n, used, kept = 0;

	telnet_init(&t, NULL, 0, no_answer, NULL);
	while (event != TELNET_NOTHING) {
		n = telnet_decode(&t, data, in, len, &used, &event);
		in += used;
		len -= used;
		for (size_t i = 0; i < n; i++)
			if (data[i] != 0 && (!ours || data[i] >= 0x80))
				out[kept++] = data[i];
	}
	insist(!ours || (t.parser == 0 && t.malformed == 0),
	    "an incomplete command was sent");
	return kept;
}

static size_t
without_zeros(uint8_t *data, size_t len)
{
	size_t kept = 0;

	for (size_t i = 0; i < len; i++)
		if (data[i] != 0)
			data[kept++] = data[i];
	return kept;
}

static void
check(const uint8_t *sent, size_t nsent)
{
	static uint8_t want[8 * ROOM];
	size_t n = decoded(sent, nsent, want, false);

	own.nin = without_zeros(own.in, own.nin);
	insist(n == own.nin && memcmp(want, own.in, n) == 0,
	    "what the client sent has changed");
	n = decoded(client.received, client.nreceived, want, true);
	own.nout = without_zeros(own.out, own.nout);
	insist(n == own.nout && memcmp(want, own.out, n) == 0,
	    "what the client received has changed");
}

/* Whether all was read and written; a client that has suspended its data is resumed. */
static bool
is_settled(struct link *link)
{
	line.done += line.waiting;
	line.waiting = 0;
	client.room = sizeof(client.received);
	if (link->filter->suspended)
		filter_suspend(link->filter, false);
	turn(link);
	return client.left == 0 && !link->filter->waits &&
	    link->filter->input_len == 0 && link->filter->rest_len == 0 &&
	    link_pending(link) == 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *in, size_t size)
{
	const uint8_t *sent;
	size_t nsteps, turns = 0, nsent;
	struct link *link;

	if (size < 2 || size > ROOM / 2)
		return 0;
	if (base == NULL)
		start();
	memset(&line, 0, sizeof(line));
	line.settings =
	    (struct line_settings){ .baud = 9600, .mode = { 8, 'N', 1 } };
	line_endpoint->state = ENDPOINT_UP;
	own.nin = own.nout = client.nreceived = 0;
	client.left = client.room = 0;
	nsteps = MIN((size_t)in[0] * 2, size - 1);
	sent = client.input = in + 1 + nsteps;
	nsent = size - 1 - nsteps;
	link = endpoint_add_transport(
	    server_endpoint, &client_ops, NULL, "fuzz", false);
	insist(link != NULL, "no link");
	for (size_t i = 1; i <= nsteps; i++) {

		step(link, in[i] & 7, in[i] >> 3);
		client.left =
		    MIN(client.left, nsent - (size_t)(client.input - sent));
	}
	client.left = nsent - (size_t)(client.input - sent);
	while (!is_settled(link))
		insist(++turns < TURNS, "it never settles");
	check(sent, nsent);
	link_close(link, "the end");
	event_base_loop(base, EVLOOP_NONBLOCK);
	line_use_stop(line_endpoint);
	return 0;
}
