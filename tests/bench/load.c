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
 * The bridge finds the ports as DIR/A0, DIR/B0, DIR/A1, and so on.  With --clients
 * side B is TCP connections instead, of telnet or TLS by the options of that name.
 * {I} in a word of the bridge's command is the pair's number, with --each, a process
 * for each pair.
 *
 * The result is one object of JSON.  "foreign" is the part of the CPU that neither
 * we, the bridge, the kernel's workers nor idling had: it means something when
 * all of that is bound to one CPU.
 */
#include <sys/prctl.h>
#include <sys/resource.h>

#include <err.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "options.h"
#include "result.h"
#include "subject.h"
#include "traffic.h"

#define TICK_NS 200000 /* between looks at what is due */

static struct traffic_conf conf = {
	.dir = "/tmp/load",
	.format = "raw:64",
	.pairs = 1,
	.ready = 8,
};
static double seconds = 1, warm_up = 0.2;
static unsigned count = 10000; /* of messages */
static unsigned burst = 1;     /* frames of a message */
static unsigned rate = 11520;  /* bytes a second */
static unsigned stall_ms;

/* --- the tests ----------------------------------------------------------- */

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
	flow_until(clock_ns() + stall_ms * MSEC);
	stalled = false;
	put("accepted_kb", (double)(total_sent() - before) / 1024);
	everything_ready();
}

static void
test_flow(void)
{
	struct usage from, to;
	uint64_t end, good;

	flow_until(clock_ns() + (uint64_t)(warm_up * SEC));
	usage_take(&from, true);
	good = total_good();
	end = from.wall_ns + (uint64_t)(seconds * SEC);
	if (stall_ms != 0) {
		flow_until(from.wall_ns + (end - from.wall_ns) / 3);
		stall();
	}
	flow_until(end);
	usage_take(&to, false);
	good = total_good() - good;
	finish();
	put("mb_s", (double)good * 1e3 / (double)(to.wall_ns - from.wall_ns));
	put("kframes_s",
	    (double)good / streams[0].out->mean * 1e6 /
		(double)(to.wall_ns - from.wall_ns));
	put_usage(&from, &to, (double)good / 1e3); /* cpu_us: of a kB */
	put_check();
}

/* Sends one message of some frames, awaits it everywhere; in nanoseconds. */
static uint32_t
pong(struct stream *s)
{
	unsigned next = pattern_frame(s->in, s->at) + burst;
	size_t len = s->in->start[next < s->in->n ? next : s->in->n] - s->at;
	uint64_t start = clock_ns(), want;

	if (send_some(s, len) != len)
		errx(1, "a message was not taken");
	want = expected(s);
	for (unsigned k = 0; k < s->nsinks; k++) {
		struct pollfd p = { s->sinks[k].fd, POLLIN, 0 };

		while (s->sinks[k].got < want) {
			if (poll(&p, 1, 4000) == 0)
				errx(1, "a message was lost");
			receive(&s->sinks[k]);
		}
	}
	return (uint32_t)(clock_ns() - start);
}

/* Messages on each stream in turn; their times to times, unless it is NULL. */
static size_t
pongs(unsigned n, uint64_t end, uint32_t *times)
{
	size_t done = 0;

	while (n-- > 0 && clock_ns() < end)
		for (unsigned i = 0; i < nstreams; i++) {
			uint32_t ns = pong(&streams[i]);

			if (times != NULL)
				times[done] = ns;
			done++;
		}
	return done;
}

static void
test_pong(void)
{
	uint32_t *times = calloc((size_t)count * nstreams, sizeof(*times));
	struct usage from, to;
	size_t n, before;

	if (times == NULL)
		errx(1, "out of memory");
	before = pongs(count / 20, clock_ns() + SEC, NULL);
	usage_take(&from, true);
	n = pongs(count, from.wall_ns + (uint64_t)(seconds * SEC), times);
	usage_take(&to, false);
	put("messages", (double)n);
	put_times("", times, n);
	put("all_messages", (double)(before + n));
	put_usage(&from, &to, (double)n);
	put_check();
	free(times);
}

/* What has come completes these messages. */
static size_t
paced_seen(struct sink *sink, uint32_t *times, size_t room)
{
	struct stream *s = sink->stream;
	uint64_t now = clock_ns(), ns;
	size_t n = 0;

	while (
	    s->seen < s->frames && sink->got >= pattern_end(s->out, s->seen)) {
		ns = now - s->sent_at[s->seen++ % RING];
		if (n < room)
			times[n++] =
			    ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
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

/*
 * Messages on all streams in turn, each when it is due, until then; the times of
 * those that came to times.  Counts those that the line was behind for in *late.
 */
static size_t
paced_until(uint64_t end, uint32_t *times, size_t room, uint64_t *late)
{
	double gap = 1e9 * streams[0].in->mean / rate / nstreams;
	uint64_t start = clock_ns(), now, due = start, message = 0;
	size_t n = 0;

	while ((now = clock_ns()) < end) {
		for (int k = 0; k < 256 && due <= now; k++) {
			*late += !paced_send(&streams[message++ % nstreams]);
			due = start + (uint64_t)((double)message * gap);
		}
		n += paced_receive(due > now + TICK_NS ? due - now : TICK_NS,
		    times + n, room - n);
	}
	return n;
}

/* All that is under way arrives, uncounted. */
static void
paced_settle(void)
{
	finish();
	for (unsigned i = 0; i < nstreams; i++) {
		struct stream *s = &streams[i];

		s->frames = s->seen = s->sent / s->in->len * s->in->n +
		    pattern_frame(s->in, s->at);
	}
}

static void
test_paced(void)
{
	double a_second = rate / streams[0].in->mean * nstreams;
	size_t room = (size_t)(2 * a_second * (seconds + warm_up)), n;
	uint32_t *times = calloc(room, sizeof(*times));
	struct usage from, to;
	uint64_t late = 0;

	if (times == NULL)
		errx(1, "out of memory");
	paced_until(clock_ns() + (uint64_t)(warm_up * SEC), times, room, &late);
	paced_settle();
	usage_take(&from, true);
	n = paced_until(
	    from.wall_ns + (uint64_t)(seconds * SEC), times, room, &late);
	usage_take(&to, false);
	finish();
	put("messages", (double)n);
	put_times("", times, n);
	put("late", (double)late);
	put_usage(&from, &to, (double)n);
	put_check();
	free(times);
}

static void
test_start(void)
{
	struct timespec pause = { .tv_nsec = 200000000 };
	struct usage from, to;

	nanosleep(&pause, NULL);
	usage_take(&from, true);
	pause.tv_sec = (time_t)seconds;
	pause.tv_nsec = (long)((seconds - (double)pause.tv_sec) * SEC);
	nanosleep(&pause, NULL);
	usage_take(&to, false);
	put_usage(&from, &to, 0);
}

/* --- options ------------------------------------------------------------- */

static const struct option options[] = {
	{ "--dir", .text = &conf.dir },
	{ "--format", .text = &conf.format },
	{ "--other", .text = &conf.other },
	{ "--pairs", .number = &conf.pairs },
	{ "--clients", .number = &conf.clients },
	{ "--port", .number = &conf.port },
	{ "--ready", .number = &conf.ready },
	{ "--count", .number = &count },
	{ "--burst", .number = &burst },
	{ "--rate", .number = &rate },
	{ "--stall", .number = &stall_ms },
	{ "--seconds", .real = &seconds },
	{ "--warm", .real = &warm_up },
	{ "--both", .flag = &conf.both },
	{ "--back", .flag = &conf.back },
	{ "--tls", .flag = &conf.tls },
	{ "--telnet", .flag = &conf.telnet },
	{ "--each", .flag = &conf.each },
	{ "--lazy", .flag = &conf.lazy },
};

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {
	{ "flow", test_flow },
	{ "pong", test_pong },
	{ "paced", test_paced },
	{ "start", test_start },
};

#define NOPTIONS (sizeof(options) / sizeof(options[0]))
static const char synopsis[] =
    "load flow|pong|paced|start [options] -- BRIDGE ...";

int
main(int argc, char *argv[])
{
	struct rlimit files = { 20000, 20000 };
	unsigned t = 0;

	if (argc < 2)
		options_usage(options, NOPTIONS, synopsis);
	while (t < 4 && strcmp(argv[1], tests[t].name) != 0)
		t++;
	argv = options_read(options, NOPTIONS, synopsis, argv + 2);
	if (t == 4 || *argv == NULL || argv[1] == NULL || conf.pairs == 0)
		options_usage(options, NOPTIONS, synopsis);
	subject_init();
	prctl(PR_SET_TIMERSLACK, 1000);
	setrlimit(RLIMIT_NOFILE, &files);
	put("first_byte_ms", traffic_start(&conf, argv + 1));
	tests[t].run();
	put_end();
	return 0;
}
