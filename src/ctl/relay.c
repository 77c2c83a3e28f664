/*
 * relay: gives a command to the daemon and prints the reply.
 *
 * A line of a body may be "OK" as well as the last line: `ask` prints what a board
 * answers.  Therefore the client sends no more after the command, the daemon ends the
 * session after the reply, and the last line before that is the result.  Only the commands
 * that go on until the next line, whose own lines cannot be mistaken, keep sending open.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"

static bool on_terminal; /* standard output is one */

/* The commands whose replies take as long as it takes. */
static const struct waiting {
	const char *name;
	const char *word; /* that has to follow it; NULL: none */
	bool on;	  /* it goes on until the next line */
} waiting[] = {
	{ "watch", NULL, true },
	{ "events", NULL, true },
	{ "capture", "stream", true },
	{ "capture", "stop", false },
	{ "ask", NULL, false },
	{ "gather", NULL, false },
	{ "race", NULL, false },
	{ "stream", NULL, false },
	{ "scan", NULL, false },
	{ "reload", NULL, false },
};

/* The command if it is one of these, or NULL. */
static const struct waiting *
find_waiting(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[0], "json") == 0)
		return find_waiting(argc - 1, argv + 1);
	for (size_t i = 0; i < NELEM(waiting); i++) {
		const struct waiting *w = &waiting[i];

		if (strcmp(argv[0], w->name) == 0 &&
		    (w->word == NULL ||
			(argc > 1 && strcmp(argv[1], w->word) == 0)))
			return w;
	}
	return NULL;
}

static int
fail_output(void)
{
	return ctl_fail("standard output: %s", strerror(errno));
}

/*
 * Prints a line as it is, except to a terminal, to which no control characters are sent.
 * Returns -1 to go on, or the exit status.
 */
static int
print_text(const char *line)
{
	char *shown = NULL;
	bool good;

	if (on_terminal && (shown = ctl_printable(line)) == NULL)
		return ctl_fail("out of memory");
	good = puts(shown != NULL ? shown : line) != EOF;
	free(shown);
	return good ? -1 : fail_output();
}

/* Prints a line of the body.  Returns -1 to go on, or the exit status. */
static int
print_line(const char *line)
{
	struct error err;
	int r = reply_end(line, &err);

	if (r < 0)
		return ctl_fail("%s", err.text);
	return r > 0 ? EXIT_SUCCESS : print_text(line);
}

/*
 * Prints the lines as they come, until the last one; also ends when the reader of the
 * output has closed it, even if there is nothing to print.
 */
static int
print_until_end(struct connection *c)
{
	struct error err;
	char *line;
	int r;

	for (;;) {
		while ((line = connection_line(c)) != NULL)
			if ((r = print_line(line)) >= 0)
				return r;
		if (fflush(stdout) == EOF)
			return fail_output();
		if (c->ended)
			return ctl_fail("the daemon has ended the connection");
		if ((r = connection_wait(c, STDOUT_FILENO, &err)) < 0)
			return ctl_fail("%s", err.text);
		if (r > 0)
			return EXIT_SUCCESS;
	}
}

/* The result of a reply whose last line that is; NULL: there was none. */
static int
finish(const char *last)
{
	struct error err;

	if (fflush(stdout) == EOF)
		return fail_output();
	if (last == NULL)
		return ctl_fail("the daemon has ended the connection before"
				" the end of the reply");
	if (reply_end(last, &err) < 0)
		return ctl_fail("%s", err.text);
	return EXIT_SUCCESS;
}

/*
 * Prints the line that was held, as it was not the last one; then holds or prints this
 * one.  Returns -1 to go on, or the exit status.
 */
static int
take_line(char **held, const char *line)
{
	struct error ignored;
	int r = *held != NULL ? print_text(*held) : -1;

	free(*held);
	*held = NULL;
	if (r >= 0)
		return r;
	/* Only these can be the last line. */
	if (reply_end(line, &ignored) != 0)
		return (*held = strdup(line)) != NULL
		    ? -1
		    : ctl_fail("out of memory");
	r = print_text(line);
	return r < 0 && fflush(stdout) == EOF ? fail_output() : r;
}

/* Prints each line but the last one, which is the result. */
static int
print_until_closed(struct connection *c)
{
	char *line, *held = NULL;
	struct error err;
	int r = 0, status = -1;

	while (status < 0 && (r = connection_next(c, &line, &err)) == 0 &&
	    line != NULL)
		status = take_line(&held, line);
	if (r < 0)
		status = ctl_fail("%s", err.text);
	else if (status < 0)
		status = finish(held);
	free(held);
	return status;
}

int
relay_main(struct ctl *ctl, int argc, char **argv)
{
	const struct waiting *waits = find_waiting(argc, argv);
	bool on = waits != NULL && waits->on;
	struct error err;
	char *line;
	int r;

	if ((line = ctl_line(ctl->json ? "json" : NULL, argc, argv)) == NULL)
		return EXIT_USAGE;
	if (ctl_connect(ctl) < 0) {
		free(line);
		return EXIT_FAILURE;
	}
	if (waits != NULL)
		ctl->connection->timeout_ms = -1;
	on_terminal = isatty(STDOUT_FILENO);
	r = connection_send(ctl->connection, line, &err);
	free(line);
	if (r == 0 && !on)
		r = connection_finish(ctl->connection, &err);
	if (r < 0)
		return ctl_fail("%s", err.text);
	return on ? print_until_end(ctl->connection)
		  : print_until_closed(ctl->connection);
}
