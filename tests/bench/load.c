/*
 * load: makes traffic for a bridge between pseudo-terminals, compares every byte that
 * comes out, and measures.
 *
 *	load TEST [options] -- BRIDGE [ARGUMENT ...]
 *
 *	flow	as many bytes as go through
 *	pong	one message at a time, there and (--both) back: the time of each
 *	paced	messages at the speed of a line
 *	start	until the first byte is through, and what idling costs
 *
 * The masters of --pairs pairs of ptys are ours; the bridge finds the slaves as
 * DIR/A0, DIR/B0, DIR/A1, and so on.  The slaves stay open here too, so no hang-up
 * is seen.  With --clients side B is TCP connections instead.  {I} in a word of the
 * bridge's command is the pair's number with --each, a process for each pair.
 *
 * The result is one object of JSON.  "foreign" is the part of the CPU that neither
 * we, the bridge, the kernel's workers nor idling had: it means something when
 * all of that is bound to one CPU.
 */
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "pattern.h"
#include "subject.h"

#define MSEC 1000000ULL
#define SEC 1000000000ULL
#define CHUNK 65536
#define SILENCE (300 * MSEC)	/* then nothing more will come */
#define RING 1024		/* messages of a stream under way */
#define TICK_NS 200000		/* between looks at what is due */
#define EVENTS 512

/* A place where a stream comes out. */
struct sink {
	int		fd;
	bool		readable;
	bool		lazy;		/* never read */
	uint64_t	got;
	struct check	check;
	struct stream  *stream;
};

struct stream {
	int		fd;
	bool		writable;
	const struct pattern *in, *out;
	size_t		at;		/* what to send next */
	uint64_t	sent;		/* bytes */
	struct sink    *sinks;
	unsigned	nsinks;
	uint64_t	frames, seen;	/* sent, and come out again */
	uint64_t       *sent_at;
};

/* By descriptor. */
struct end {
	struct stream  *writes;
	struct sink    *reads;
};

static struct {
	const char     *dir, *format, *other;
	double		seconds, warm;
	unsigned	pairs, clients, port, count, burst, rate, stall, ready;
	int		both, each, lazy;
} opt = {
	.dir = "/tmp/load", .format = "raw:64", .seconds = 1, .warm = 0.2,
	.pairs = 1, .count = 10000, .burst = 1, .rate = 11520, .ready = 8,
};

static struct stream *streams;
static unsigned nstreams;
static struct end *ends;
static int poller = -1;
static bool stalled;			/* nobody reads */
static uint8_t buffer[CHUNK];

/* --- the result ---------------------------------------------------------- */

static void
put(const char *name, double value)
{
	static bool more;

	printf("%s\"%s\": %.9g", more ? ", " : "{", name, value);
	more = true;
}

static int
compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* Of n times in nanoseconds. */
static void
put_latency(uint32_t *times, size_t n)
{
	qsort(times, n, sizeof(*times), compare);
	put("messages", (double)n);
	if (n == 0)
		return;
	put("p50", times[n / 2] / 1e3);
	put("p99", times[n * 99 / 100] / 1e3);
	put("p999", times[n * 999 / 1000] / 1e3);
}

static void
put_usage(const struct usage *from, const struct usage *to, double units)
{
	double wall = (double)(to->wall_ns - from->wall_ns);
	double bridge = (double)(to->bridge_ns - from->bridge_ns);
	double ours = bridge + (double)(to->self_ns - from->self_ns) +
	    (double)(to->kernel_ns - from->kernel_ns) +
	    (double)(to->idle_ns - from->idle_ns) +
	    (double)(to->irq_ns - from->irq_ns);

	put("seconds", wall / 1e9);
	put("cpu_percent", 100 * bridge / wall);
	put("foreign", ours < wall ? 1 - ours / wall : 0);
	put("wakeups", (double)(to->switches - from->switches) / wall * 1e9);
	if (units > 0)
		put("cpu_us", bridge / 1e3 / units);
	put("rss_mb", (double)subject_rss_kb() / 1024);
}

/* How many bytes should have come out of each sink of a stream. */
static uint64_t
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
put_check(void)
{
	uint64_t lost = 0, doubled = 0, bad = 0;

	for (unsigned i = 0; i < nstreams; i++) {
		uint64_t want = expected(&streams[i]);

		for (unsigned k = 0; k < streams[i].nsinks; k++) {
			const struct check *c = &streams[i].sinks[k].check;
			uint64_t have = c->good - c->doubled;

			if (streams[i].sinks[k].lazy)
				continue;
			lost += want > have ? want - have : 0;
			doubled += c->doubled + (have > want ? have - want : 0);
			bad += c->bad + c->nheld;
		}
	}
	put("lost", (double)lost);
	put("doubled", (double)doubled);
	put("bad", (double)bad);
}

/* --- ports and streams --------------------------------------------------- */

static void
open_port(char side, unsigned number, int *ret_master, int *ret_slave)
{
	char link[256], name[64];
	struct termios t;
	int m = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK), s;

	if (m == -1 || grantpt(m) == -1 || unlockpt(m) == -1 ||
	    ptsname_r(m, name, sizeof(name)) != 0 ||
	    (s = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC)) == -1)
		err(1, "no pty");
	tcgetattr(s, &t);
	cfmakeraw(&t);
	cfsetspeed(&t, B115200);
	tcsetattr(s, TCSANOW, &t);
	snprintf(link, sizeof(link), "%s/%c%u", opt.dir, side, number);
	unlink(link);
	if (symlink(name, link) == -1)
		err(1, "%s", link);
	*ret_master = m;
	*ret_slave = s;
}

static struct stream *
add_stream(int fd, const struct pattern *in, const struct pattern *out)
{
	struct stream *s = &streams[nstreams++];

	s->fd = fd;
	s->in = in;
	s->out = out;
	s->sinks = calloc(opt.clients + 1, sizeof(*s->sinks));
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
	sink->lazy = opt.lazy && s->nsinks == 1;
	ends[fd].reads = sink;
}

static int
connect_client(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)opt.port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd == -1)
		err(1, "socket");
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == -1) {
		close(fd);
		return -1;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

/* A to B, and with --both B to A in a pattern of its own. */
static void
make_streams(const int *a, const int *b)
{
	const char *other = opt.other != NULL ? opt.other : opt.format;
	struct pattern *p[2][2];

	for (unsigned side = 0; side < 2; side++) {
		p[side][0] = pattern_new(opt.format, side);
		p[side][1] = opt.other == NULL ? p[side][0] :
		    pattern_new(other, side);
		if (p[side][0] == NULL || p[side][1] == NULL)
			errx(1, "no such format: %s %s", opt.format, other);
	}
	for (unsigned i = 0; i < opt.pairs; i++) {
		struct stream *s = add_stream(a[i], p[0][0], p[0][1]);

		for (unsigned k = 0; k < (opt.clients ? opt.clients : 1); k++)
			add_sink(s, b[i + k]);
		if (opt.both)
			add_sink(add_stream(b[i], p[1][1], p[1][0]), a[i]);
	}
}

/* --- moving bytes -------------------------------------------------------- */

static void
watch(int fd)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLOUT | EPOLLET,
		.data.fd = fd };

	if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e) == -1 && errno != EEXIST)
		err(1, "epoll_ctl");
}

static int
wait_events(struct epoll_event *e, uint64_t ns)
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

/* Sends up to len bytes of the pattern; returns how many went. */
static size_t
send_some(struct stream *s, size_t len)
{
	ssize_t n;

	if (len > s->in->len - s->at)
		len = s->in->len - s->at;
	n = write(s->fd, s->in->bytes + s->at, len);
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

/* The rest of the frame that has been begun; s->at is inside of it or at its start. */
static size_t
frame_rest(const struct stream *s)
{
	return s->in->start[pattern_frame(s->in, s->at) + 1] - s->at;
}

/* Reads once; false when there is nothing. */
static bool
receive(struct sink *sink)
{
	ssize_t n = read(sink->fd, buffer, sizeof(buffer));

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

static void
everything_ready(void)
{
	for (unsigned i = 0; i < nstreams; i++) {
		streams[i].writable = true;
		for (unsigned k = 0; k < streams[i].nsinks; k++)
			streams[i].sinks[k].readable = true;
	}
}

/* Writes and reads as much as goes until then. */
static void
flow_until(uint64_t end)
{
	struct epoll_event e[EVENTS];

	while (clock_ns() < end) {
		bool moved = false;

		for (unsigned i = 0; i < nstreams; i++)
			for (int n = 0; n < 4 && streams[i].writable; n++)
				moved |= send_some(&streams[i], CHUNK) > 0;
		moved |= receive_all();
		wait_events(e, moved ? 0 : 20 * MSEC);
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

/* Ends the frames that have been begun, and waits until all has come. */
static void
finish(void)
{
	uint64_t last = clock_ns();
	struct epoll_event e[EVENTS];

	while (clock_ns() - last < SILENCE) {
		bool moved = false, begun = false;

		for (unsigned i = 0; i < nstreams; i++) {
			struct stream *s = &streams[i];

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

	while (read(sink->fd, buffer, sizeof(buffer)) > 0)
		any = true;
	return any;
}

/* Sends whole frames beside the streams until each sink has seen one. */
static void
probe(uint64_t start)
{
	const struct timespec pause = { .tv_nsec = 50000 };
	uint64_t end = start + opt.ready * SEC, next = 0, gap = MSEC / 2;
	unsigned left = 1;
	bool first = true;

	for (; left > 0; nanosleep(&pause, NULL)) {
		bool due = clock_ns() >= next;

		if (clock_ns() > end || (due && !subject_alive()))
			errx(1, "the bridge does not forward: see %s/log",
			    opt.dir);
		left = 0;
		for (unsigned i = 0; i < nstreams; i++) {
			struct stream *s = &streams[i];
			bool wanted = false;

			for (unsigned k = 0; k < s->nsinks; k++) {
				s->sinks[k].readable |= forget(&s->sinks[k]);
				wanted |= !s->sinks[k].readable;
				left += !s->sinks[k].readable;
				if (first && s->sinks[k].readable) {
					put("first_byte_ms", (double)
					    (clock_ns() - start) / 1e6);
					first = false;
				}
			}
			if (wanted && due)
				(void)!write(s->fd, s->in->bytes,
				    s->in->start[1]);
		}
		if (due) {
			next = clock_ns() + gap;
			gap = gap < 16 * MSEC ? gap * 5 / 4 : gap;
		}
	}
}

/* One more frame each, so that no half of one is left; then quiet. */
static void
settle(void)
{
	const struct timespec pause = { .tv_nsec = (long)MSEC };
	uint64_t last;

	for (unsigned i = 0; i < nstreams; i++)
		(void)!write(streams[i].fd, streams[i].in->bytes,
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
start_subjects(char *words[])
{
	char log[256];

	snprintf(log, sizeof(log), "%s/log", opt.dir);
	for (unsigned i = 0; i < (opt.each ? opt.pairs : 1); i++)
		subject_start(words, i, log);
}

static void
connect_clients(int *fds)
{
	const struct timespec pause = { .tv_nsec = 500000 };
	uint64_t end = clock_ns() + opt.ready * SEC;

	for (unsigned i = 0; i < opt.clients; i++)
		while ((fds[i] = connect_client()) == -1) {
			if (clock_ns() > end || !subject_alive())
				errx(1, "nobody listens: see %s/log", opt.dir);
			nanosleep(&pause, NULL);
		}
}

static void
make_all(char *words[])
{
	unsigned n = opt.pairs + opt.clients;
	int *a = calloc(n, sizeof(*a)), *b = calloc(n, sizeof(*b)), slave;
	uint64_t start;

	streams = calloc(2 * opt.pairs, sizeof(*streams));
	ends = calloc(4 * n + 64, sizeof(*ends));
	if (a == NULL || b == NULL || streams == NULL || ends == NULL)
		errx(1, "out of memory");
	mkdir(opt.dir, 0755);
	for (unsigned i = 0; i < opt.pairs; i++) {
		open_port('A', i, &a[i], &slave);
		if (opt.clients == 0)
			open_port('B', i, &b[i], &slave);
	}
	start = clock_ns();
	start_subjects(words);
	connect_clients(b);
	make_streams(a, b);
	probe(start);
	settle();
	if ((poller = epoll_create1(EPOLL_CLOEXEC)) == -1)
		err(1, "epoll");
	for (unsigned i = 0; i < nstreams; i++) {
		watch(streams[i].fd);
		for (unsigned k = 0; k < streams[i].nsinks; k++)
			watch(streams[i].sinks[k].fd);
	}
	everything_ready();
}

/* --- the tests ----------------------------------------------------------- */

static uint64_t
total_sent(void)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < nstreams; i++)
		sum += streams[i].sent;
	return sum;
}

static uint64_t
total_good(void)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < nstreams; i++)
		for (unsigned k = 0; k < streams[i].nsinks; k++)
			sum += streams[i].sinks[k].check.good;
	return sum;
}

static void
stall(void)
{
	uint64_t before = total_sent();

	stalled = true;
	flow_until(clock_ns() + opt.stall * MSEC);
	stalled = false;
	put("accepted_kb", (double)(total_sent() - before) / 1024);
	everything_ready();
}

static void
test_flow(void)
{
	struct usage from, to;
	uint64_t end, good;

	flow_until(clock_ns() + (uint64_t)(opt.warm * SEC));
	usage_take(&from, true);
	good = total_good();
	end = from.wall_ns + (uint64_t)(opt.seconds * SEC);
	if (opt.stall != 0) {
		flow_until(from.wall_ns + (end - from.wall_ns) / 3);
		stall();
	}
	flow_until(end);
	usage_take(&to, false);
	good = total_good() - good;
	finish();
	put("mb_s", (double)good * 1e3 / (double)(to.wall_ns - from.wall_ns));
	put("kframes_s", (double)good / streams[0].out->mean * 1e6 /
	    (double)(to.wall_ns - from.wall_ns));
	put_usage(&from, &to, (double)good / 1e3);	/* cpu_us: of a kB */
	put_check();
}

/* Sends one message of some frames and awaits it; in nanoseconds. */
static uint32_t
pong(struct stream *s)
{
	unsigned first = pattern_frame(s->in, s->at), next = first + opt.burst;
	size_t len = s->in->start[next < s->in->n ? next : s->in->n] - s->at;
	uint64_t start = clock_ns(), want;
	struct pollfd p = { s->sinks[0].fd, POLLIN, 0 };

	if (send_some(s, len) != len)
		errx(1, "a message was not taken");
	want = expected(s);
	while (s->sinks[0].got < want) {
		if (poll(&p, 1, 4000) == 0)
			errx(1, "a message was lost");
		receive(&s->sinks[0]);
	}
	return (uint32_t)(clock_ns() - start);
}

static void
test_pong(void)
{
	uint32_t *times = calloc((size_t)opt.count * 2, sizeof(*times));
	unsigned warm = opt.count / 20;
	struct usage from, to;
	uint64_t end = clock_ns() + SEC;
	size_t n = 0, all = 0;

	if (times == NULL)
		errx(1, "out of memory");
	for (unsigned k = 0; k < warm + opt.count; k++) {
		if (k < warm && clock_ns() > end)
			k = warm;
		if (k == warm) {
			usage_take(&from, true);
			end = from.wall_ns + (uint64_t)(opt.seconds * SEC);
		}
		for (unsigned i = 0; i < nstreams; i++) {
			times[n] = pong(&streams[i]);
			n += k >= warm;
			all++;
		}
		if (k > warm && clock_ns() > end)
			break;
	}
	usage_take(&to, false);
	put_latency(times, n);
	put("all_messages", (double)all);
	put_usage(&from, &to, (double)n);
	put_check();
}

/* What has come completes these messages. */
static size_t
paced_seen(struct sink *sink, uint32_t *times, size_t room)
{
	struct stream *s = sink->stream;
	uint64_t now = clock_ns(), ns;
	size_t n = 0;

	while (s->seen < s->frames &&
	    sink->got >= pattern_end(s->out, s->seen)) {
		ns = now - s->sent_at[s->seen++ % RING];
		if (n < room)
			times[n++] = ns > UINT32_MAX ? UINT32_MAX :
			    (uint32_t)ns;
	}
	return n;
}

/* The next message of a stream; false: it does not go, the line is behind. */
static bool
paced_send(struct stream *s)
{
	uint64_t now = clock_ns();
	size_t len = frame_rest(s);

	if (s->frames - s->seen == RING || send_some(s, len) < len)
		return false;
	s->sent_at[s->frames++ % RING] = now;
	return true;
}

static size_t
paced_receive(uint64_t wait, uint32_t *times, size_t room)
{
	struct epoll_event e[EVENTS];
	int events = wait_events(e, wait);
	size_t n = 0;

	for (int i = 0; i < events; i++) {
		struct sink *sink = ends[e[i].data.fd].reads;

		if (sink == NULL || !(e[i].events & EPOLLIN))
			continue;
		while (sink->readable && receive(sink))
			n += paced_seen(sink, times + n, room - n);
	}
	return n;
}

static void
test_paced(void)
{
	double gap = 1e9 * streams[0].in->mean / opt.rate / nstreams;
	size_t room = (size_t)(2e9 * (opt.seconds + opt.warm) / gap), n = 0;
	uint32_t *times = calloc(room, sizeof(*times));
	uint64_t start = clock_ns(), now, due, message = 0, late = 0;
	uint64_t warm = start + (uint64_t)(opt.warm * SEC), end = UINT64_MAX;
	struct usage from, to;

	if (times == NULL)
		errx(1, "out of memory");
	while ((now = clock_ns()) < end) {
		if (now >= warm && end == UINT64_MAX) {
			usage_take(&from, true);
			end = from.wall_ns + (uint64_t)(opt.seconds * SEC);
			n = 0;
		}
		for (int k = 0; k < 256; k++) {
			due = start + (uint64_t)((double)message * gap);
			if (due > now)
				break;
			late += !paced_send(&streams[message++ % nstreams]);
		}
		due = due > now + TICK_NS ? due - now : TICK_NS;
		n += paced_receive(due, times + n, room - n);
	}
	usage_take(&to, false);
	finish();
	put_latency(times, n);
	put("late", (double)late);
	put_usage(&from, &to, (double)n);
	put_check();
}

static void
test_start(void)
{
	struct timespec pause = { .tv_nsec = 200000000 };
	struct usage from, to;

	nanosleep(&pause, NULL);
	usage_take(&from, true);
	pause.tv_sec = (time_t)opt.seconds;
	pause.tv_nsec = (long)((opt.seconds - (double)pause.tv_sec) * SEC);
	nanosleep(&pause, NULL);
	usage_take(&to, false);
	put_usage(&from, &to, 0);
}

/* --- options ------------------------------------------------------------- */

static const struct option long_options[] = {
	{ "dir", required_argument, NULL, 'd' },
	{ "format", required_argument, NULL, 'f' },
	{ "other", required_argument, NULL, 'o' },	/* what side B speaks */
	{ "seconds", required_argument, NULL, 's' },
	{ "warm", required_argument, NULL, 'w' },
	{ "pairs", required_argument, NULL, 'n' },
	{ "clients", required_argument, NULL, 'c' },
	{ "port", required_argument, NULL, 'p' },
	{ "count", required_argument, NULL, 'k' },	/* of messages */
	{ "burst", required_argument, NULL, 'b' },	/* frames a message */
	{ "rate", required_argument, NULL, 'r' },	/* bytes a second */
	{ "stall", required_argument, NULL, 't' },	/* milliseconds */
	{ "ready", required_argument, NULL, 'y' },	/* seconds */
	{ "both", no_argument, &opt.both, 1 },
	{ "each", no_argument, &opt.each, 1 },
	{ "lazy", no_argument, &opt.lazy, 1 },
	{ NULL, 0, NULL, 0 },
};

static void
read_option(int c)
{
	unsigned n = optarg ? (unsigned)strtoul(optarg, NULL, 10) : 0;

	switch (c) {
	case 'd': opt.dir = optarg; break;
	case 'f': opt.format = optarg; break;
	case 'o': opt.other = optarg; break;
	case 's': opt.seconds = strtod(optarg, NULL); break;
	case 'w': opt.warm = strtod(optarg, NULL); break;
	case 'n': opt.pairs = n; break;
	case 'c': opt.clients = n; break;
	case 'p': opt.port = n; break;
	case 'k': opt.count = n; break;
	case 'b': opt.burst = n; break;
	case 'r': opt.rate = n; break;
	case 't': opt.stall = n; break;
	case 'y': opt.ready = n; break;
	case 0: break;
	default: exit(2);
	}
}

static void
on_signal(int number)
{
	subject_end();
	_exit(128 + number);
}

int
main(int argc, char *argv[])
{
	static const struct {
		const char     *name;
		void		(*run)(void);
	} tests[] = { { "flow", test_flow }, { "pong", test_pong },
		{ "paced", test_paced }, { "start", test_start } };
	struct rlimit files = { 20000, 20000 };
	unsigned t = 0;
	int c;

	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		read_option(c);
	argv += optind;
	while (t < 4 && argv[0] != NULL && strcmp(argv[0], tests[t].name) != 0)
		t++;
	if (argv[0] == NULL || t == 4 || argv[1] == NULL || opt.pairs == 0)
		errx(2, "load flow|pong|paced|start [options] -- BRIDGE ...");
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	signal(SIGHUP, on_signal);
	atexit(subject_end);
	prctl(PR_SET_TIMERSLACK, 1000);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	setrlimit(RLIMIT_NOFILE, &files);
	make_all(argv + 1);
	tests[t].run();
	printf("}\n");
	return 0;
}
