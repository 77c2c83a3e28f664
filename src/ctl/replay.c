/*
 * replay: sends the frames of a capture to an endpoint.
 *
 * Each frame waits for the reply to the one before, so that an error stops the replay at
 * the frame that caused it.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base64.h"
#include "packets.h"
#include "replay.h"

#define USAGE "replay FILE --to NAME [--from NAME] [--speed FACTOR]"
#define SPEED_MAX 1000000

static struct {
	const char *file, *to, *from; /* from: only frames of this endpoint */
	double speed;
	/* When the first one is sent, and its time. */
	uint64_t start_ns;
	double first;
	unsigned long sent, others;
	/* With from: the endpoints from which frames came. */
	char sources[400];
	bool found; /* one came from from */
} replay;

/* --- frames ---------------------------------------------------------------- */

/* The source is the word before " > ": NAME, or NAME#NUMBER of one of its clients. */
static bool
is_from(const struct packet *p, const char *name)
{
	size_t len = strlen(name);

	return strncmp(p->way, name, len) == 0 &&
	    (p->way[len] == ' ' || p->way[len] == '#');
}

/* The list of sources is cut if there are too many. */
static void
note_source(const struct packet *p)
{
	size_t len = strcspn(p->way, " #"), n;
	const char *list = replay.sources, *word;

	if (replay.from == NULL || strstr(p->way, " > ") == NULL)
		return;
	replay.found |= is_from(p, replay.from);
	while ((word = list_word(&list, &n)) != NULL)
		if (n == len && strncmp(word, p->way, n) == 0)
			return;
	append(replay.sources, sizeof(replay.sources), "%s%.*s",
	    *replay.sources != '\0' ? ", " : "", (int)len, p->way);
}

/* Whether the frame is whole and one that passed. */
static bool
is_wanted(const struct packet *p)
{
	return p->len == p->size && p->len > 0 &&
	    strstr(p->way, " > ") != NULL && strstr(p->way, " bad: ") == NULL &&
	    (replay.from == NULL || is_from(p, replay.from));
}

static void
sleep_until(uint64_t ns)
{
	struct timespec ts = { .tv_sec = (time_t)(ns / NSEC_PER_SEC),
		.tv_nsec = (long)(ns % NSEC_PER_SEC) };

	while (
	    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
		;
}

uint64_t
replay_when(uint64_t start_ns, double seconds, double speed)
{
	uint64_t wait = whole_part(seconds / speed * 1e9);

	return wait < UINT64_MAX - start_ns ? start_ns + wait : UINT64_MAX;
}

static void
await_time(const struct packet *p)
{
	double when = (double)p->seconds + (double)p->nanoseconds / 1e9;

	if (replay.sent == 0) {
		replay.start_ns = now_ns();
		replay.first = when;
	}
	sleep_until(
	    replay_when(replay.start_ns, when - replay.first, replay.speed));
}

static int
send_packet(struct connection *c, const struct packet *p, struct error *err)
{
	char *line = malloc(strlen(replay.to) + 16 + BASE64_SIZE(p->len));
	int n, r;

	if (line == NULL)
		return error_fail(err, -ENOMEM, "out of memory");
	n = sprintf(line, "send -b %s ", replay.to);
	base64_encode(p->data, p->len, line + n);
	r = connection_command(c, line, err);
	free(line);
	return r;
}

static int
send_all(struct ctl *ctl, struct packets *packets)
{
	struct packet p;
	struct error err;
	unsigned long n = 0;
	int r;

	while ((r = packets_next(packets, &p, &err)) > 0) {
		n++;
		note_source(&p);
		if (!is_wanted(&p)) {
			replay.others++;
			continue;
		}
		await_time(&p);
		if (send_packet(ctl->connection, &p, &err) < 0)
			return ctl_fail("frame %lu, after %lu were sent: %s", n,
			    replay.sent, err.text);
		replay.sent++;
	}
	if (r < 0)
		return ctl_fail("%s: %s", replay.file, err.text);
	if (replay.from != NULL && !replay.found)
		return ctl_fail("%s: no frame in it comes from '%s'%s%s",
		    replay.file, replay.from,
		    *replay.sources != '\0' ? "; it has frames from " : "",
		    replay.sources);
	printf("%lu frame%s sent", replay.sent, replay.sent == 1 ? "" : "s");
	if (replay.others > 0)
		printf(", %lu others not", replay.others);
	printf("\n");
	return EXIT_SUCCESS;
}

static int
send_file(struct ctl *ctl)
{
	struct packets packets;
	struct error err;
	FILE *stream = fopen(replay.file, "re");
	int r;

	if (stream == NULL)
		return ctl_fail("%s: %s", replay.file, strerror(errno));
	if (packets_open(&packets, stream, &err) < 0)
		r = ctl_fail("%s: %s", replay.file, err.text);
	else if (ctl_connect(ctl) < 0)
		r = EXIT_FAILURE;
	else
		r = send_all(ctl, &packets);
	packets_end(&packets);
	fclose(stream);
	return r;
}

/* --- arguments ------------------------------------------------------------- */

static int
set_speed(const char *text)
{
	char *end;

	replay.speed = strtod(text, &end);
	if (*text == '\0' || *end != '\0' || !(replay.speed > 0) ||
	    replay.speed > SPEED_MAX)
		return ctl_usage(USAGE,
		    "'%s' is not a speed; 2 is twice as fast, and %d the"
		    " fastest",
		    text, SPEED_MAX);
	return EXIT_SUCCESS;
}

int
replay_main(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = { { "to", required_argument,
						     NULL, 't' },
		{ "from", required_argument, NULL, 'f' },
		{ "speed", required_argument, NULL, 's' }, { 0 } };
	int c;

	replay.speed = 1;
	opterr = 0;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 't')
			replay.to = optarg;
		else if (c == 'f')
			replay.from = optarg;
		else if (c != 's')
			return ctl_usage(
			    USAGE, "wrong option '%s'", argv[optind - 1]);
		else if (set_speed(optarg) != EXIT_SUCCESS)
			return EXIT_USAGE;
	}
	if (optind != argc - 1)
		return ctl_usage(USAGE, "the name of one file is needed");
	if (replay.to == NULL)
		return ctl_usage(USAGE, "--to NAME is missing");
	if (strlen(replay.to) > 200 || strpbrk(replay.to, " \t\r\n") != NULL)
		return ctl_usage(USAGE, "'%s' is not a name", replay.to);
	replay.file = argv[optind];
	return send_file(ctl);
}
