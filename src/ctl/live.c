/*
 * live: frames as they pass, as a capture to a pipe.
 *
 * The daemon sends each frame as a line of JSON, `capture stream`.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base64.h"
#include "live.h"
#include "packets.h"

#define USAGE "capture - [-a] [NAME ...]"

/* The time is read as text, because a double has not enough digits. */
static void
take_time(struct packet *p, const char *line)
{
	const char *at = strstr(line, "\"time\":");
	char fraction[10] = "000000000";
	long long seconds = 0;

	if (at != NULL && sscanf(at, "\"time\":%lld", &seconds) == 1 &&
	    (at = strchr(at, '.')) != NULL)
		for (size_t i = 0;
		     i < 9 && at[1 + i] >= '0' && at[1 + i] <= '9'; i++)
			fraction[i] = at[1 + i];
	p->seconds = seconds;
	p->nanoseconds = (uint32_t)strtoul(fraction, NULL, 10);
}

/* Writes the frame that the line describes; other lines are ignored. */
static int
write_frame(FILE *stream, const char *line)
{
	json_t *o = json_loads(line, 0, NULL);
	const char *bad = member_text(o, "bad"),
		   *text = member_text(o, "base64");
	struct packet p = { 0 };
	uint8_t *data = malloc(strlen(text) + 1);
	long len = -ENOMEM;
	long long lost = json_integer_value(json_object_get(o, "not_shown"));
	int r = 0;

	if (lost > 0)
		ctl_fail("%lld frame%s missing: the reader is too slow", lost,
		    lost == 1 ? " is" : "s are");
	if (data != NULL)
		len = base64_decode(text, strlen(text), data, strlen(text) + 1);
	if (len >= 0 && json_object_get(o, "base64") != NULL) {
		take_time(&p, line);
		snprintf(p.dissector, sizeof(p.dissector), "%s",
		    member_text(o, "dissector"));
		if (*bad != '\0')
			snprintf(p.way, sizeof(p.way), "%.290s > - bad: %.200s",
			    member_text(o, "from"), bad);
		else
			snprintf(p.way, sizeof(p.way), "%.290s > %.290s",
			    member_text(o, "from"), member_text(o, "to"));
		snprintf(p.protocol, sizeof(p.protocol), "%.32s %.560s",
		    member_text(o, "framing"), p.way);
		p.data = data;
		p.len = p.size = (size_t)len;
		r = packets_write(stream, &p);
	}
	free(data);
	json_decref(o);
	return r;
}

static int
fail_write(int r)
{
	/* The reader has seen enough. */
	if (r == -EPIPE)
		return EXIT_SUCCESS;
	return ctl_fail("the capture cannot be written: %s", strerror(-r));
}

/* Writes all frames that have been received.  Returns -1 to go on, or the exit status. */
static int
write_frames(struct connection *c, FILE *stream)
{
	struct error err;
	char *line;
	int r;

	while ((line = connection_line(c)) != NULL) {
		if ((r = reply_end(line, &err)) < 0)
			return ctl_fail("%s", err.text);
		if (r > 0)
			return EXIT_SUCCESS;
		if ((r = write_frame(stream, line)) < 0)
			return fail_write(r);
	}
	if (fflush(stream) == EOF)
		return fail_write(-errno);
	return c->ended ? ctl_fail("the daemon has ended the connection") : -1;
}

int
live_run(struct ctl *ctl, FILE *stream, int argc, char **argv)
{
	struct connection *c;
	struct error err;
	char *line;
	int r, w;

	if ((line = ctl_line("capture stream", argc, argv)) == NULL)
		return EXIT_USAGE;
	r = ctl_connect(ctl);
	c = ctl->connection;
	if (r == 0 && (r = connection_send(c, line, &err)) < 0)
		ctl_fail("%s", err.text);
	free(line);
	if (r < 0)
		return EXIT_FAILURE;
	signal(SIGPIPE, SIG_IGN);
	if ((r = packets_begin(stream)) < 0)
		return fail_write(r);
	while ((r = write_frames(c, stream)) < 0) {
		if ((w = connection_wait(c, fileno(stream), &err)) < 0)
			return ctl_fail("%s", err.text);
		if (w > 0)
			return EXIT_SUCCESS;
	}
	return r;
}

int
live_main(struct ctl *ctl, int argc, char **argv)
{
	if (isatty(STDOUT_FILENO))
		return ctl_usage(USAGE,
		    "a capture is not for a terminal; use a pipe, such as"
		    " ttybridgectl capture - | wireshark -k -i -");
	return live_run(ctl, stdout, argc - 2, argv + 2);
}
