/*
 * line_control: the line of a serial port, which is a pseudo-terminal that looks like one
 * (tests/fault/uart.c), controlled without its section.
 */
#include "endpoint_harness.h"

#include <sys/mman.h>

#include "../fault/uart.h"
#include "line_control.h"
#include "serial.h"

#define FAULTS "build/fault.so"

static struct endpoint *ep;
static const struct line_ops *control;
static struct uart_line *lines, *line;
static int far = -1;

static void
plug(void)
{
	const char *path = in_directory("tty");
	char slave[64];
	int near;

	assert_int_equal(openpty(&far, &near, slave, NULL, NULL), 0);
	fcntl(far, F_SETFL, O_NONBLOCK);
	unlink(path);
	assert_int_equal(symlink(slave, path), 0);
	line = &lines[strtoul(strrchr(slave, '/') + 1, NULL, 10) % UART_LINES];
	close(near);
	memset(line, 0, sizeof(*line));
}

static void
start(void)
{
	const char *keys[] = { "device", in_directory("tty"), NULL };

	ep = make_endpoint(&endpoint_serial, keys);
	control = ep->conf->ops->control;
	assert_non_null(control);
}

static void
finish(void)
{
	endpoint_free(ep);
	serial_finish();
	close(far);
}

static struct line_settings
settings(void)
{
	struct line_settings now = { 0 };

	assert_int_equal(control->get(ep, &now), 0);
	return now;
}

/* The speed that the other end of the pseudo-terminal sees. */
static speed_t
speed(void)
{
	struct termios t;

	assert_int_equal(tcgetattr(far, &t), 0);
	return cfgetospeed(&t);
}

static void
test_settings_last(void **state)
{
	struct line_settings s = { 57600, { 8, 'N', 2 }, FLOW_XONXOFF };
	struct error err = { "" };

	(void)state;
	plug();
	start();
	assert_int_equal(settings().baud, 9600);
	endpoint_start(ep);
	assert_int_equal(control->set(ep, &s, &err), 0);
	assert_int_equal(settings().baud, 57600);
	assert_int_equal(settings().mode.stop, 2);
	assert_int_equal(settings().flow, FLOW_XONXOFF);
	/* The framing knows the line, and the section is as before. */
	assert_int_equal(ep->conf->framing.baud, 57600);
	assert_int_equal(ep->conf->framing.char_bits, 11);
	assert_non_null(strstr(ep->address, " 57600 8N2"));
	assert_int_equal(endpoint_set(ep, "hangup_on_close", "yes", &err), 0);
	assert_int_equal(endpoint_set(ep, "dtr", "off", &err), 0);
	assert_int_equal(speed(), B57600);
	endpoint_reopen(ep, "test");
	UNTIL(ep->opens == 2);
	assert_int_equal(speed(), B57600);
	assert_int_equal(settings().baud, 57600);
	/* Until a key of the line is set. */
	assert_int_equal(endpoint_set(ep, "mode", "8N1", &err), 0);
	assert_int_equal(speed(), B9600);
	assert_int_equal(ep->conf->framing.baud, 9600);
	finish();
}

static void
test_settings_before_it_is_open(void **state)
{
	const struct line_settings s = { 115200, { 8, 'N', 1 }, FLOW_RTSCTS };
	struct error err = { "" };
	unsigned signals;

	(void)state;
	plug();
	start();
	assert_int_equal(control->set(ep, &s, &err), 0);
	assert_int_equal(settings().baud, 115200);
	assert_int_equal(control->signals(ep, &signals), -ENOTCONN);
	assert_int_equal(control->set_signals(ep, TIOCM_DTR, 0), -ENOTCONN);
	assert_int_equal(control->set_break(ep, true), -ENOTCONN);
	assert_int_equal(control->purge(ep, true, true), -ENOTCONN);
	endpoint_start(ep);
	assert_int_equal(speed(), B115200);
	assert_int_equal(settings().flow, FLOW_RTSCTS);
	finish();
}

static void
test_what_the_driver_does_not_do(void **state)
{
	struct line_settings s = { 250000, { 8, 'N', 1 }, FLOW_NONE };
	struct error err = { "" };

	(void)state;
	plug();
	start();
	endpoint_start(ep);
	line->lacks = NO_SPEED;
	assert_int_equal(control->set(ep, &s, &err), -EOPNOTSUPP);
	assert_string_equal(
	    err.text, "the line runs at 9600 baud instead of 250000");
	assert_int_equal(settings().baud, 9600);
	assert_int_equal(ep->conf->framing.baud, 9600);
	line->lacks = NO_RTSCTS;
	s.baud = 9600;
	s.flow = FLOW_RTSCTS;
	assert_int_equal(control->set(ep, &s, &err), -EOPNOTSUPP);
	assert_int_equal(settings().flow, FLOW_NONE);
	s.flow = FLOW_DTRDSR;
	assert_int_equal(control->set(ep, &s, &err), -EOPNOTSUPP);
	finish();
}

static void
test_signals(void **state)
{
	unsigned signals;

	(void)state;
	plug();
	start();
	endpoint_start(ep);
	line->modem |= TIOCM_CTS | TIOCM_CAR | TIOCM_ST;
	assert_int_equal(control->signals(ep, &signals), 0);
	assert_int_equal(
	    signals, TIOCM_DTR | TIOCM_RTS | TIOCM_CTS | TIOCM_CAR);
	assert_int_equal(control->set_signals(ep, TIOCM_DTR, 0), 0);
	assert_int_equal(line->modem & (TIOCM_DTR | TIOCM_RTS), TIOCM_RTS);
	assert_int_equal(
	    control->set_signals(ep, TIOCM_DTR | TIOCM_RTS, TIOCM_DTR), 0);
	assert_int_equal(line->modem & (TIOCM_DTR | TIOCM_RTS), TIOCM_DTR);
	assert_int_equal(control->set_signals(ep, TIOCM_DTR, TIOCM_DTR), 0);
	assert_int_equal(line->rises, 2);
	assert_true(line->modem & TIOCM_ST);
	line->lacks = NO_MODEM;
	assert_int_equal(control->signals(ep, &signals), -ENOTTY);
	assert_int_equal(control->set_signals(ep, TIOCM_DTR, 0), -ENOTTY);
	finish();
}

static void
test_break(void **state)
{
	(void)state;
	plug();
	start();
	endpoint_start(ep);
	assert_int_equal(control->set_break(ep, true), 0);
	assert_int_equal(line->breaking, 1);
	assert_int_equal(endpoint_break(ep, NSEC_PER_SEC), -EBUSY);
	assert_int_equal(control->set_break(ep, false), 0);
	assert_int_equal(line->breaking, 0);
	/* It ends a break of limited length, too. */
	assert_int_equal(endpoint_break(ep, 3600 * NSEC_PER_SEC), 0);
	assert_int_equal(control->set_break(ep, false), 0);
	assert_int_equal(line->breaking, 0);
	assert_null(task_find("ar1.break"));
	/* One without an end does not outlive the port. */
	assert_int_equal(control->set_break(ep, true), 0);
	endpoint_reopen(ep, "test");
	UNTIL(ep->opens == 2);
	assert_int_equal(line->breaking, 0);
	assert_int_equal(endpoint_break(ep, NSEC_PER_MSEC), 0);
	UNTIL(line->breaking == 0);
	finish();
}

static void
test_purge(void **state)
{
	(void)state;
	plug();
	start();
	endpoint_start(ep);
	link_set_reading(&ep->link, false);
	assert_int_equal(write(far, "stale", 5), 5);
	line->unsent = 7;
	assert_int_equal(control->purge(ep, false, true), 0);
	assert_int_equal(line->flushed, 7);
	line->unsent = 5;
	assert_int_equal(control->purge(ep, true, false), 0);
	assert_int_equal(line->flushed, 7);
	line->unsent = 0;
	assert_int_equal(write(far, "new", 3), 3);
	link_set_reading(&ep->link, true);
	UNTIL(got_len >= 3);
	assert_int_equal(got_len, 3);
	assert_memory_equal(got, "new", 3);
	finish();
}

/* Runs the program again, with the library that makes serial ports. */
static void
run_with_lines(char *const *argv)
{
	char file[] = "/tmp/line-control-test.XXXXXX";
	int fd = mkstemp(file);

	assert_true(fd >= 0);
	close(fd);
	setenv("FAULT_UART", file, 1);
	setenv("LD_PRELOAD", FAULTS, 1);
	setenv("ASAN_OPTIONS", "verify_asan_link_order=0", 1);
	execv("/proc/self/exe", argv);
	perror("execv");
	exit(1);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    test_settings_last, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_settings_before_it_is_open, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_what_the_driver_does_not_do, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_signals, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_break, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_purge, set_up, tear_down),
	};
	const char *file = getenv("FAULT_UART");
	int fd;

	(void)argc;
	if (file == NULL)
		run_with_lines(argv);
	fd = open(file, O_RDWR | O_CLOEXEC);
	lines = mmap(NULL, UART_LINES * sizeof(*lines), PROT_READ | PROT_WRITE,
	    MAP_SHARED, fd, 0);
	if (lines == MAP_FAILED) {
		perror(file);
		return 1;
	}
	unlink(file);
	close(fd);
	return cmocka_run_group_tests_name("line_control", tests, NULL, NULL);
}
