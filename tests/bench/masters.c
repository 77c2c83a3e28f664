/*
 * masters: masters of Modbus that share a bus through a gateway; every answer is compared
 * with the one that the unit on the bus gave, and times are measured at both ends.
 *
 *	masters [options] [-- GATEWAY [ARGUMENT ...]]
 *
 * The gateway finds the bus as DIR/B0, masters of RTU as DIR/R0, DIR/R1 and so on, and
 * those of ASCII as DIR/A0; masters of TCP connect to --port.  Without a command the
 * gateway is started by somebody else.  With --no-bridge the only master has the bus to
 * itself, which is as fast as can be.
 *
 * The result is one object of JSON, see struct counts; times are those in the gateway,
 * from the request of a master to its answer without the time that the unit had it, and,
 * as "turn", from an answer of a unit to a request that waited for it.
 */
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "crowd.h"
#include "options.h"
#include "ports.h"
#include "result.h"
#include "slave.h"
#include "subject.h"

#define BUS UINT32_MAX
#define EVENTS 64
#define TRY (300 * MSEC) /* for an answer, before the gateway is asked again */
#define SETTLE (200 * MSEC) /* for what nobody should send */

static struct crowd_conf crowd = {
	.dir = "/tmp/masters",
	.tcp = 1,
	.requests = 10000,
	.window = 1,
	.timeout = 3000,
	.ready = 8,
};
static struct slave_conf slave;
static struct model_conf model = { .most = 10, .faulty = 64 };
static int poller;

static const struct option options[] = {
	{ "--dir", .text = &crowd.dir },
	{ "--tcp", .number = &crowd.tcp },
	{ "--rtu", .number = &crowd.rtu },
	{ "--ascii", .number = &crowd.ascii },
	{ "--port", .number = &crowd.port },
	{ "--requests", .number = &crowd.requests },
	{ "--window", .number = &crowd.window },
	{ "--timeout", .number = &crowd.timeout },
	{ "--ready", .number = &crowd.ready },
	{ "--no-bridge", .flag = &crowd.no_bridge },
	{ "--gap", .number = &crowd.gap },
	{ "--seed", .number = &model.seed },
	{ "--functions", .text = &model.functions },
	{ "--most", .number = &model.most },
	{ "--faulty", .number = &model.faulty },
	{ "--baud", .number = &slave.baud },
	{ "--flip", .number = &slave.flip },
	{ "--pause", .number = &slave.pause },
	{ "--slow", .number = &slave.slow },
	{ "--slow-ms", .number = &slave.slow_ms },
	{ "--echo", .flag = &slave.echo },
};
#define NOPTIONS (sizeof(options) / sizeof(options[0]))
static const char synopsis[] = "masters [options] [-- GATEWAY ...]";

/* Waits for what comes next, until then at most, and deals with it. */
static void
turn(uint64_t until)
{
	struct epoll_event e[EVENTS];
	uint64_t now = clock_ns(), due[] = { slave_due(now), crowd_due(now) };
	struct timespec ts;
	int n;

	for (int i = 0; i < 2; i++)
		until = due[i] < until ? due[i] : until;
	now = clock_ns();
	until = until > now ? until - now : 0;
	ts.tv_sec = (time_t)(until / SEC);
	ts.tv_nsec = (long)(until % SEC);
	n = epoll_pwait2(poller, e, EVENTS, &ts, NULL);
	for (int i = 0; i < n; i++)
		if (e[i].data.u32 == BUS)
			slave_input();
		else
			crowd_input(e[i].data.u32);
}

static void
turns_until(uint64_t until)
{
	while (clock_ns() < until)
		turn(until);
}

/* Until somebody listens. */
static void
connect_all(uint64_t until)
{
	const struct timespec pause = { .tv_nsec = (long)MSEC };

	while (!crowd_connect()) {
		if (clock_ns() > until || !subject_alive())
			errx(1, "nobody listens: see %s/log", crowd.dir);
		nanosleep(&pause, NULL);
	}
}

/* Until every master has an answer, and all that was asked meanwhile is over. */
static void
await_gateway(uint64_t until)
{
	for (unsigned i = 0; i < crowd_size(); i++)
		for (;;) {
			uint64_t stop = clock_ns() + TRY;

			counts.answers = 0;
			crowd_ask(i);
			while (crowd_waits(i) && clock_ns() < stop)
				turn(stop);
			crowd_give_up(i);
			if (counts.answers > 0)
				break;
			if (clock_ns() > until || !subject_alive())
				errx(1, "master %u gets no answer: see %s/log",
				    i, crowd.dir);
		}
	turns_until(clock_ns() + SETTLE);
}

static void
prepare(char **words)
{
	struct epoll_event e = { .events = EPOLLIN, .data.u32 = BUS };
	char log[256];
	int bus, tty;
	uint64_t until;

	mkdir(crowd.dir, 0755);
	port_pty(crowd.dir, 'B', 0, &bus, &tty);
	slave.requests = crowd.requests;
	model_init(&model);
	slave_init(&slave, bus);
	crowd_init(&crowd, tty);
	snprintf(log, sizeof(log), "%s/log", crowd.dir);
	if (*words != NULL)
		subject_start(words, 0, log);
	until = clock_ns() + crowd.ready * SEC;
	connect_all(until);
	if ((poller = epoll_create1(EPOLL_CLOEXEC)) == -1 ||
	    epoll_ctl(poller, EPOLL_CTL_ADD, bus, &e) == -1)
		err(1, "epoll");
	crowd_watch(poller);
	await_gateway(until);
}

static void
measure(void)
{
	struct usage from, to;
	uint64_t end;

	usage_take(&from, true);
	slave_start();
	crowd_start();
	while (!crowd_over())
		turn(NEVER);
	end = clock_ns();
	usage_take(&to, false);
	turns_until(clock_ns() + SETTLE);
	crowd_put((double)(end - from.wall_ns) / 1e9);
	slave_put();
	put_usage(&from, &to, crowd.requests);
	put_end();
}

int
main(int argc, char *argv[])
{
	struct rlimit files = { 4096, 4096 };
	char **words;

	(void)argc;
	words = options_read(options, NOPTIONS, synopsis, argv + 1);
	words += *words != NULL;
	if (crowd.window < 1 || crowd.window > SLOTS || model.most < 1 ||
	    model.most > 125)
		options_usage(options, NOPTIONS, synopsis);
	subject_init();
	prctl(PR_SET_TIMERSLACK, 1000);
	setrlimit(RLIMIT_NOFILE, &files);
	prepare(words);
	measure();
	return 0;
}
