/* log: whole lines, escaped; a reader that sleeps never stops the daemon. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

/* Standard error is one end of something; reader is the other. */
struct stage {
	int saved, reader;
};

static void
begin(struct stage *s, int reader, int writer)
{
	s->saved = dup(STDERR_FILENO);
	s->reader = reader;
	assert_int_equal(dup2(writer, STDERR_FILENO), STDERR_FILENO);
	close(writer);
	log_open();
	log_set_level(LOG_INFO);
}

static void
begin_pipe(struct stage *s)
{
	int fd[2];

	assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
	assert_int_equal(fcntl(fd[0], F_SETFL, O_NONBLOCK), 0);
	begin(s, fd[0], fd[1]);
}

static void
end(struct stage *s)
{
	dup2(s->saved, STDERR_FILENO);
	close(s->saved);
	close(s->reader);
	log_open();
}

/* All that is there to be read. */
static char *
heard(struct stage *s)
{
	size_t size = 1 << 20, len = 0;
	char *text = malloc(size);
	ssize_t n;

	assert_non_null(text);
	while ((n = read(s->reader, text + len, size - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	return text;
}

static void
expect(struct stage *s, const char *want)
{
	char *text = heard(s);

	assert_string_equal(text, want);
	free(text);
}

static void
test_lines(void **state)
{
	struct stage s;

	(void)state;
	begin_pipe(&s);
	errno = ENOTTY;
	log_at(LOG_NOTICE, "hello %d", 5);
	log_to(LOG_ERR, ABOUT_ENDPOINT, "ar1", "lost (%s)", "unplugged");
	log_at(LOG_DEBUG, "not this");
	log_to(LOG_INFO, ABOUT_CONTROL, "c\n1", "%s", "a\033[1m\xff\nb");
	assert_int_equal(errno, ENOTTY);
	expect(&s,
	    "ttybridged: hello 5\n"
	    "ttybridged: ar1: lost (unplugged)\n"
	    "ttybridged: c\\n1: a\\x1b[1m\\xff\\nb\n");
	end(&s);
}

static void
test_long(void **state)
{
	char big[8000], *text;
	struct stage s;

	(void)state;
	memset(big, '\001', sizeof big - 1);
	big[sizeof big - 1] = '\0';
	begin_pipe(&s);
	log_to(LOG_ERR, ABOUT_ENDPOINT, big, "%s", big);
	text = heard(&s);
	assert_in_range(strlen(text), 1000, 4096);
	assert_string_equal(text + strlen(text) - 4, "...\n");
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	free(text);
	end(&s);
}

static void
test_full_pipe(void **state)
{
	char *text, *line, *next;
	unsigned lines = 0, lost = 0;
	struct stage s;
	int e;

	(void)state;
	begin_pipe(&s);
	errno = ENOTTY;
	for (unsigned i = 0; i < 10000; i++)
		log_at(LOG_INFO, "message number %u of ten thousand", i);
	/* cmocka could not say it now: the pipe is full. */
	e = errno;
	assert_int_equal(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0);
	text = heard(&s);
	assert_int_equal(e, ENOTTY);
	for (line = text; (next = strchr(line, '\n')) != NULL; line = next + 1)
		lines++;
	assert_int_equal(*line, '\0');
	free(text);
	log_at(LOG_INFO, "after");
	text = heard(&s);
	assert_int_equal(
	    sscanf(text, "ttybridged: %u messages lost\n", &lost), 1);
	assert_non_null(strstr(text, "\nttybridged: after\n"));
	assert_int_equal(lines + lost, 10000);
	free(text);
	log_at(LOG_INFO, "once");
	expect(&s, "ttybridged: once\n");
	end(&s);
}

/* A terminal that is not read from takes the half of a line; none is joined. */
static void
test_full_terminal(void **state)
{
	int master, slave;
	char *text, *line, *next;
	struct stage s;
	bool half;

	(void)state;
	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	assert_int_equal(fcntl(master, F_SETFL, O_NONBLOCK), 0);
	begin(&s, master, slave);
	for (unsigned i = 0; i < 10000; i++)
		log_at(LOG_INFO, "message number %u of ten thousand", i);
	assert_int_equal(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0);
	text = heard(&s);
	half = text[strlen(text) - 1] != '\n';
	free(text);
	log_at(LOG_INFO, "after");
	text = heard(&s);
	/* The line that was cut off ends before the next one begins. */
	if (half)
		assert_memory_equal(text, "\r\n", 2);
	for (line = text; (next = strstr(line, "\r\n")) != NULL;
	     line = next + 2)
		;
	assert_int_equal(*line, '\0');
	assert_non_null(strstr(text, " messages lost\r\n"));
	assert_non_null(strstr(text, "\nttybridged: after\r\n"));
	free(text);
	end(&s);
}

static void
test_reader_gone(void **state)
{
	struct stage s;

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	begin_pipe(&s);
	close(s.reader);
	s.reader = -1;
	log_at(LOG_INFO, "nobody hears");
	end(&s);
}

static void
test_limited(void **state)
{
	struct log_limit limit = { 0 };
	struct stage s;

	(void)state;
	begin_pipe(&s);
	free(heard(&s));
	log_at(LOG_INFO, "x"); /* what the test before it lost is said now */
	free(heard(&s));
	for (int i = 0; i < 20; i++)
		log_limited(&limit, LOG_INFO, ABOUT_ENDPOINT, "ar1", "n %d", i);
	expect(&s,
	    "ttybridged: ar1: n 0\nttybridged: ar1: n 1\n"
	    "ttybridged: ar1: n 2\nttybridged: ar1: n 3\n"
	    "ttybridged: ar1: n 4\n");
	limit.since_ns -= 11 * NSEC_PER_SEC;
	log_limited(&limit, LOG_INFO, ABOUT_ENDPOINT, "ar1", "again");
	expect(&s,
	    "ttybridged: ar1: 15 messages like the next held back\n"
	    "ttybridged: ar1: again\n");
	log_limited(&limit, LOG_DEBUG, ABOUT_ENDPOINT, "ar1", "no");
	expect(&s, "");
	assert_int_equal(limit.passed, 1);
	end(&s);
}

static void
test_levels(void **state)
{
	(void)state;
	assert_int_equal(log_level_parse("error"), LOG_ERR);
	assert_int_equal(log_level_parse("debug"), LOG_DEBUG);
	assert_int_equal(log_level_parse("verbose"), -EINVAL);
	assert_string_equal(log_level_name(LOG_WARNING), "warning");
	assert_string_equal(log_level_name(LOG_EMERG), "error");
	assert_string_equal(log_level_name(99), "debug");
	log_set_level(99);
	assert_int_equal(log_level(), LOG_DEBUG);
	log_set_level(0);
	assert_int_equal(log_level(), LOG_ERR);
}

static char told[256];

static void
on_message(struct log_listener *listener, int level, enum log_about about,
    const char *name, const char *text)
{
	(void)listener;
	append(told, sizeof(told), "%s %d %s: %s\n", log_level_name(level),
	    (int)about, name != NULL ? name : "-", text);
	/* This is logged, and not passed to listeners. */
	log_at(LOG_ERR, "inside");
}

/* A listener has its own level, and the log keeps its own. */
static void
test_listeners(void **state)
{
	struct log_listener one = { .level = LOG_NOTICE,
		.message = on_message };
	struct log_listener two = { .level = LOG_ERR, .message = on_message };
	struct stage s;

	(void)state;
	begin_pipe(&s);
	log_set_level(LOG_ERR);
	log_listen(&one);
	log_listen(&two);
	log_to(LOG_NOTICE, ABOUT_STATE, "a", "up\n");
	log_at(LOG_INFO, "unheard");
	expect(&s, "ttybridged: inside\n");
	assert_string_equal(told, "notice 6 a: up\\n\n");
	told[0] = '\0';
	log_unlisten(&one);
	log_at(LOG_NOTICE, "unheard");
	log_to(LOG_ERR, ABOUT_RELOAD, NULL, "bad");
	expect(&s, "ttybridged: bad\nttybridged: inside\n");
	assert_string_equal(told, "error 5 -: bad\n");
	log_unlisten(&two);
	told[0] = '\0';
	log_at(LOG_ERR, "alone");
	expect(&s, "ttybridged: alone\n");
	assert_string_equal(told, "");
	end(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_full_pipe),
		cmocka_unit_test(test_full_terminal),
		cmocka_unit_test(test_reader_gone),
		cmocka_unit_test(test_limited),
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_listeners),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
