/*
 * traffic: ports, streams and the bytes in them.
 *
 * The masters of the ptys are ours; the bridge finds the slaves as DIR/A0, DIR/B0,
 * DIR/A1 and so on.  The slaves stay open here too, so no hang-up is seen.  All
 * descriptors are watched edge-triggered for both directions.
 */
#include <sys/epoll.h>
#include <sys/stat.h>

#include <err.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "ports.h"
#include "subject.h"
#include "traffic.h"
#include "wire.h"

#define CHUNK 65536
#define SILENCE SEC /* then nothing more will come */

struct stream *streams;
unsigned nstreams;
struct end *ends;
bool stalled;

static struct traffic_conf conf;
static int poller = -1;
static uint8_t buffer[CHUNK];

/* --- ports and streams --------------------------------------------------- */

static struct stream *
add_stream(int fd, const struct pattern *in, const struct pattern *out)
{
	struct stream *s = &streams[nstreams++];

	s->fd = fd;
	s->in = in;
	s->out = out;
	s->sinks = calloc(conf.clients + 1, sizeof(*s->sinks));
	s->sent_at = calloc(RING, sizeof(*s->sent_at));
	if (s->sinks == NULL || s->sent_at == NULL)
		errx(1, "out of memory");
	ends[fd].writes = s;
	return s;
}

static void
add_sink(struct stream *s, int fd)
{
	struct sink *sink = &s->sinks[s->nsinks++];

	sink->fd = fd;
	sink->stream = s;
	sink->check.pattern = s->out;
	sink->lazy = conf.lazy && s->nsinks == 1;
	ends[fd].reads = sink;
}

/* Of each side as it goes in at A, or comes in at B. */
static struct pattern *patterns[2][2];

static void
make_patterns(void)
{
	const char *other = conf.other != NULL ? conf.other : conf.format;

	for (unsigned side = 0; side < 2; side++) {
		patterns[side][0] = pattern_new(conf.format, side);
		patterns[side][1] = conf.other == NULL
		    ? patterns[side][0]
		    : pattern_new(other, side);
		if (patterns[side][0] == NULL || patterns[side][1] == NULL)
			errx(1, "no such format: %s %s", conf.format, other);
	}
}

/* A to B, and with --both B to A in a pattern of its own; with --back only that. */
static void
make_streams(const int *a, const int *b)
{
	unsigned nsinks = conf.clients > 0 ? conf.clients : 1;
	struct stream *s;

	for (unsigned i = 0; i < conf.pairs; i++) {
		if (!conf.back) {
			s = add_stream(a[i], patterns[0][0], patterns[0][1]);
			for (unsigned k = 0; k < nsinks; k++)
				add_sink(s, b[i + k]);
		}
		if (!conf.both && !conf.back)
			continue;
		s = add_stream(b[i], patterns[1][1], patterns[1][0]);
		add_sink(s, a[i]);
	}
}

/* --- moving bytes -------------------------------------------------------- */

uint64_t
expected(const struct stream *s)
{
	uint64_t whole;

	if (s->in == s->out)
		return s->sent;
	whole = s->sent / s->in->len * s->in->n +
	    pattern_frame(s->in, s->sent % s->in->len);
	return whole == 0 ? 0 : pattern_end(s->out, whole - 1);
}

static void
watch(int fd)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLOUT | EPOLLET,
		.data.fd = fd };

	if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e) == -1 && errno != EEXIST)
		err(1, "epoll_ctl");
}

int
wait_events(struct epoll_event e[EVENTS], uint64_t ns)
{
	struct timespec ts = { (time_t)(ns / SEC), (long)(ns % SEC) };
	int n = epoll_pwait2(poller, e, EVENTS, &ts, NULL);

	for (int i = 0; i < n; i++) {
		struct end *end = &ends[e[i].data.fd];

		if (e[i].events & EPOLLOUT && end->writes != NULL)
			end->writes->writable = true;
		if (e[i].events & ~(unsigned)EPOLLOUT && end->reads != NULL)
			end->reads->readable = true;
	}
	return n;
}

size_t
send_some(struct stream *s, size_t len)
{
	ssize_t n;

	if (len > s->in->len - s->at)
		len = s->in->len - s->at;
	n = wire_write(s->fd, s->in->bytes + s->at, len);
	if (n == -1 && errno != EAGAIN)
		err(1, "write");
	if (n < (ssize_t)len)
		s->writable = false;
	if (n <= 0)
		return 0;
	s->sent += (size_t)n;
	s->at = (s->at + (size_t)n) % s->in->len;
	return (size_t)n;
}

size_t
frame_rest(const struct stream *s)
{
	return s->in->start[pattern_frame(s->in, s->at) + 1] - s->at;
}

bool
receive(struct sink *sink)
{
	ssize_t n = wire_read(sink->fd, buffer, sizeof(buffer));

	if (n == 0 || (n == -1 && errno != EAGAIN))
		errx(1, "the bridge hung up");
	if (n == -1) {
		sink->readable = false;
		return false;
	}
	sink->got += (size_t)n;
	check_feed(&sink->check, buffer, (size_t)n);
	return true;
}

static bool
receive_all(void)
{
	bool moved = false;

	for (unsigned i = 0; i < nstreams && !stalled; i++)
		for (unsigned k = 0; k < streams[i].nsinks; k++) {
			struct sink *sink = &streams[i].sinks[k];

			for (int n = 0; n < 8 && sink->readable && !sink->lazy;
			     n++)
				moved |= receive(sink);
		}
	return moved;
}

void
everything_ready(void)
{
	for (unsigned i = 0; i < nstreams; i++) {
		streams[i].writable = true;
		for (unsigned k = 0; k < streams[i].nsinks; k++)
			streams[i].sinks[k].readable = true;
	}
}

void
flow_until(uint64_t end)
{
	struct epoll_event e[EVENTS];

	while (clock_ns() < end) {
		bool moved = false;

		for (unsigned i = 0; i < nstreams; i++)
			for (int n = 0; n < 4 && streams[i].writable; n++)
				moved |= send_some(&streams[i], CHUNK) > 0;
		moved |= receive_all();
		if (wait_events(e, moved ? 0 : 20 * MSEC) == 0 && !moved)
			everything_ready();
	}
}

static bool
all_came(void)
{
	for (unsigned i = 0; i < nstreams; i++)
		for (unsigned k = 0; k < streams[i].nsinks; k++)
			if (!streams[i].sinks[k].lazy &&
			    streams[i].sinks[k].got < expected(&streams[i]))
				return false;
	return true;
}

void
finish(void)
{
	uint64_t last = clock_ns();
	struct epoll_event e[EVENTS];

	while (clock_ns() - last < SILENCE) {
		bool moved = false, begun = false;

		for (unsigned i = 0; i < nstreams; i++) {
			struct stream *s = &streams[i];

			wire_flush(s->fd);
			if (s->in->start[pattern_frame(s->in, s->at)] == s->at)
				continue;
			begun = true;
			moved |= send_some(s, frame_rest(s)) > 0;
		}
		moved |= receive_all();
		if (moved)
			last = clock_ns();
		else if (!begun && all_came())
			break;
		else if (wait_events(e, 20 * MSEC) == 0)
			everything_ready();
	}
}

/* --- start --------------------------------------------------------------- */

/* Reads and forgets; whether something has come. */
static bool
forget(struct sink *sink)
{
	bool any = false;

	while (wire_read(sink->fd, buffer, sizeof(buffer)) > 0)
		any = true;
	return any;
}

/* Whether it has seen something; sinks that have are readable from then on. */
static bool
sink_saw(struct sink *sink)
{
	return sink->readable |= forget(sink);
}

/* Sends a frame to each stream of which not all sinks have seen one; how many such. */
static unsigned
probe(bool due)
{
	unsigned left = 0;

	for (unsigned i = 0; i < nstreams; i++) {
		const struct stream *s = &streams[i];
		unsigned blind = 0;

		for (unsigned k = 0; k < s->nsinks; k++)
			blind += !sink_saw(&s->sinks[k]);
		left += blind;
		if (blind > 0 && due)
			wire_write(s->fd, s->in->bytes, s->in->start[1]);
	}
	return left;
}

/*
 * Until a sink has something, or for so many nanoseconds.  Not by looking ever again:
 * the bridge starts on the same CPU, and our turns would be part of its start-up.
 */
static void
await_sinks(struct pollfd *fds, uint64_t ns)
{
	const struct timespec timeout = { .tv_nsec = (long)ns };
	nfds_t n = 0;

	for (unsigned i = 0; i < nstreams; i++)
		for (unsigned k = 0; k < streams[i].nsinks; k++)
			if (!streams[i].sinks[k].readable)
				fds[n++] = (struct pollfd){
					.fd = streams[i].sinks[k].fd,
					.events = POLLIN,
				};
	ppoll(fds, n, &timeout, NULL);
}

/* Probes, ever more seldom; returns when the first sink saw something. */
static uint64_t
await_bridge(uint64_t end)
{
	struct pollfd *fds =
	    calloc(2 * (size_t)conf.pairs + conf.clients, sizeof(*fds));
	uint64_t next = 0, gap = MSEC / 5, first = 0, now = 0;
	unsigned left = UINT_MAX, before;

	if (fds == NULL)
		errx(1, "out of memory");
	do {
		now = clock_ns();
		if (now > end || !subject_alive())
			errx(1, "the bridge does not forward: see %s/log",
			    conf.dir);
		before = left;
		left = probe(now >= next);
		if (left < before && before != UINT_MAX && first == 0)
			first = clock_ns();
		if (now >= next) {
			next = now + gap;
			gap = gap < 16 * MSEC ? gap * 21 / 20 : gap;
		}
		await_sinks(fds, next - now);
	} while (left > 0);
	free(fds);
	return first;
}

/* One more frame each, so that no half of one is left; then quiet. */
static void
settle(void)
{
	const struct timespec pause = { .tv_nsec = (long)MSEC };
	uint64_t last;

	for (unsigned i = 0; i < nstreams; i++)
		wire_write(streams[i].fd, streams[i].in->bytes,
		    streams[i].in->start[1]);
	for (last = clock_ns(); clock_ns() - last < 60 * MSEC;) {
		nanosleep(&pause, NULL);
		for (unsigned i = 0; i < nstreams; i++)
			for (unsigned k = 0; k < streams[i].nsinks; k++)
				if (forget(&streams[i].sinks[k]))
					last = clock_ns();
	}
}

static void
connect_clients(int *fds)
{
	const struct timespec pause = { .tv_nsec = 500000 };
	uint64_t end = clock_ns() + conf.ready * SEC;

	for (unsigned i = 0; i < conf.clients; i++) {
		while ((fds[i] = port_connect(conf.port)) == -1) {
			if (clock_ns() > end || !subject_alive())
				errx(1, "nobody listens: see %s/log", conf.dir);
			nanosleep(&pause, NULL);
		}
		wire_start(fds[i],
		    conf.tls	      ? WIRE_TLS
			: conf.telnet ? WIRE_TELNET
				      : WIRE_PLAIN);
	}
}

static void
make_ports(int *a, int *b)
{
	int slave;

	mkdir(conf.dir, 0755);
	for (unsigned i = 0; i < conf.pairs; i++) {
		port_pty(conf.dir, 'A', i, &a[i], &slave);
		if (conf.clients == 0)
			port_pty(conf.dir, 'B', i, &b[i], &slave);
	}
}

static void
watch_all(void)
{
	if ((poller = epoll_create1(EPOLL_CLOEXEC)) == -1)
		err(1, "epoll");
	for (unsigned i = 0; i < nstreams; i++) {
		watch(streams[i].fd);
		for (unsigned k = 0; k < streams[i].nsinks; k++)
			watch(streams[i].sinks[k].fd);
	}
	everything_ready();
}

double
traffic_start(const struct traffic_conf *wanted, char *words[])
{
	unsigned n = wanted->pairs + wanted->clients;
	int *a = calloc(n, sizeof(*a)), *b = calloc(n, sizeof(*b));
	uint64_t start, first;
	char log[256];

	conf = *wanted;
	streams = calloc(2 * (size_t)conf.pairs, sizeof(*streams));
	ends = calloc(4 * (size_t)n + 64, sizeof(*ends));
	if (a == NULL || b == NULL || streams == NULL || ends == NULL)
		errx(1, "out of memory");
	make_patterns();
	make_ports(a, b);
	snprintf(log, sizeof(log), "%s/log", conf.dir);
	start = clock_ns();
	for (unsigned i = 0; i < (conf.each ? conf.pairs : 1); i++)
		subject_start(words, i, log);
	connect_clients(b);
	make_streams(a, b);
	first = await_bridge(start + conf.ready * SEC);
	settle();
	watch_all();
	free(a);
	free(b);
	return (double)(first - start) / 1e6;
}
