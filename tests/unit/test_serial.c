/*
 * serial: a port at the other end of a pty pair, as far as a pty can be one.
 */
#include "endpoint_harness.h"

#include <asm/ioctls.h>
#include <linux/serial.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "serial.h"
#include "serial_conf.h"
#include "serial_list.h"

static struct endpoint *ep;
static int far = -1; /* the board's end */

/* A pair whose near end can be opened by that link; cooked, as a fresh one is. */
static void
plug(const char *path)
{
	char slave[64];
	int near;

	assert_int_equal(openpty(&far, &near, slave, NULL, NULL), 0);
	fcntl(far, F_SETFL, O_NONBLOCK);
	unlink(path);
	assert_int_equal(symlink(slave, path), 0);
	close(near);
}

static void
pull(void)
{
	close(far);
	far = -1;
}

static void
start(const char *const *keys)
{
	ep = make_endpoint(&endpoint_serial, keys);
	endpoint_start(ep);
}

static void
finish(void)
{
	endpoint_free(ep);
	serial_finish();
	if (far >= 0)
		pull();
}

/* Of a master these are the slave's settings. */
static struct termios
settings(void)
{
	struct termios t;

	assert_int_equal(tcgetattr(far, &t), 0);
	return t;
}

static void
test_settings(void **state)
{
	const char *path = in_directory("tty");
	const char *keys[] = { "device", path, "baud", "57600", NULL };
	char address[256];
	struct termios t;

	(void)state;
	plug(path);
	t = settings();
	t.c_iflag |= IXON | IXANY | ISTRIP | PARMRK;
	t.c_cflag |= CRTSCTS | HUPCL | CSTOPB;
	assert_int_equal(tcsetattr(far, TCSANOW, &t), 0);
	start(keys);
	assert_int_equal(ep->state, ENDPOINT_UP);
	t = settings();
	assert_int_equal(t.c_iflag, IGNBRK);
	assert_int_equal(t.c_oflag, 0);
	assert_int_equal(t.c_lflag, 0);
	assert_int_equal(t.c_cflag & (CRTSCTS | HUPCL | CSTOPB), 0);
	assert_int_equal(
	    t.c_cflag & (CS8 | CREAD | CLOCAL), CS8 | CREAD | CLOCAL);
	assert_int_equal(t.c_cc[VMIN], 1);
	assert_int_equal(t.c_cc[VTIME], 0);
	assert_int_equal(cfgetospeed(&t), B57600);
	assert_int_equal(cfgetispeed(&t), B57600);
	snprintf(address, sizeof(address), "%s 57600 8N1", path);
	assert_string_equal(ep->address, address);
	assert_true(fcntl(ep->link.fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(ep->link.fd, F_GETFD) & FD_CLOEXEC);
	finish();
}

static void
test_every_byte_passes(void **state)
{
	const char *path = in_directory("tty");
	const char *keys[] = { "device", path, NULL };
	uint8_t all[256], back[512];

	(void)state;
	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = (uint8_t)i;
	plug(path);
	start(keys);
	assert_int_equal(write(far, all, sizeof(all)), sizeof(all));
	UNTIL(got_len == sizeof(all));
	assert_memory_equal(got, all, sizeof(all));
	/* Nothing of it came back as an echo. */
	assert_int_equal(read(far, back, sizeof(back)), -1);
	assert_int_equal(link_write(&ep->link, all, sizeof(all)), sizeof(all));
	UNTIL(read(far, back, sizeof(back)) == sizeof(all));
	assert_memory_equal(back, all, sizeof(all));
	finish();
}

/* What a raw pty holds already is data; what was typed at a cooked one is not. */
static void
test_early_input(void **state)
{
	const char *path = in_directory("tty");
	const char *keys[] = { "device", path, NULL };
	struct termios t;

	(void)state;
	plug(path);
	assert_int_equal(write(far, "junk\n", 5), 5);
	start(keys);
	assert_int_equal(write(far, "good", 4), 4);
	UNTIL(got_len >= 4);
	assert_int_equal(got_len, 4);
	assert_memory_equal(got, "good", 4);
	endpoint_free(ep);
	pull();

	got_len = 0;
	plug(path);
	t = settings();
	cfmakeraw(&t);
	assert_int_equal(tcsetattr(far, TCSANOW, &t), 0);
	assert_int_equal(write(far, "early", 5), 5);
	start(keys);
	UNTIL(got_len == 5);
	assert_memory_equal(got, "early", 5);
	finish();
}

static void
test_comes_back_elsewhere(void **state)
{
	const char *path = in_directory("tty");
	const char *keys[] = { "device", path, "baud", "115200", NULL };

	(void)state;
	start(keys);
	assert_int_equal(ep->state, ENDPOINT_LOST);
	assert_string_equal(ep->error.text, "no such device");
	plug(path);
	for (int i = 0; i < 3; i++) {
		int held;

		UNTIL(ep->state == ENDPOINT_UP);
		assert_int_equal(write(far, "x", 1), 1);
		UNTIL(got_len == 1);
		got_len = 0;
		pull();
		UNTIL(ep->state == ENDPOINT_LOST);
		/* Take the number, so that the next pair has another. */
		held = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
		plug(path);
		close(held);
	}
	UNTIL(ep->state == ENDPOINT_UP);
	finish();
}

static void
set(const char *key, const char *value, int want)
{
	struct error err = { "" };
	int r = endpoint_set(ep, key, value, &err);

	if (r != want)
		fail_msg("set %s %s: %d %s", key, value, r, err.text);
	assert_true(r == 0 || error_is_set(&err));
}

static void
test_changes_while_open(void **state)
{
	const char *path = in_directory("tty");
	const char *keys[] = { "device", path, NULL };
	const struct serial_conf *conf;
	struct termios t;

	(void)state;
	plug(path);
	start(keys);
	conf = ep->conf->type_conf;
	set("baud", "230400", 0);
	t = settings();
	assert_int_equal(cfgetospeed(&t), B230400);
	set("baud", "31250", 0);
	assert_non_null(strstr(ep->address, " 31250 8N1"));
	assert_string_equal(ep->link.address, ep->address);
	set("flow", "xonxoff", 0);
	assert_int_equal(
	    settings().c_iflag & (IXON | IXOFF | IXANY), IXON | IXOFF);
	set("flow", "rtscts", 0);
	assert_int_equal(settings().c_iflag & (IXON | IXOFF), 0);
	assert_true(settings().c_cflag & CRTSCTS);
	set("flow", "dtrdsr", -EOPNOTSUPP);
	assert_int_equal(conf->line.flow, FLOW_RTSCTS);
	assert_true(settings().c_cflag & CRTSCTS);
	set("flow", "none", 0);
	assert_false(settings().c_cflag & CRTSCTS);
	set("hangup_on_close", "yes", 0);
	assert_true(settings().c_cflag & HUPCL);
	set("mode", "7E2", 0);
	assert_true(settings().c_iflag & INPCK);
	assert_true(settings().c_cflag & CSTOPB);
	/* A pty has no modem lines and no such driver. */
	set("dtr", "off", -ENOTTY);
	assert_int_equal(conf->dtr.line, LINE_KEEP);
	set("low_latency", "yes", -ENOTTY);
	set("rs485", "yes", -ENOTTY);
	set("rs485_delay_before", "1500us", -EINVAL);
	set("device", "/dev/null", -EINVAL);
	assert_int_equal(ep->state, ENDPOINT_UP);
	finish();
}

/* Holds the port's lock in a process of its own until it is killed. */
static pid_t
hold(const char *path)
{
	int ready[2];
	char c;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		int fd = open(path, O_RDWR | O_NOCTTY);

		if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 ||
		    write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static void
test_busy(void **state)
{
	const char *path = in_directory("tty");
	const char *keys[] = { "device", path, NULL };
	char holder[64];
	struct termios t;
	pid_t pid;

	(void)state;
	plug(path);
	pid = hold(path);
	start(keys);
	assert_int_equal(ep->state, ENDPOINT_LOST);
	snprintf(holder, sizeof(holder), "(pid %d)", (int)pid);
	assert_memory_equal(ep->error.text, "held by ", 8);
	assert_non_null(strstr(ep->error.text, holder));
	/* Nothing of the other program's settings was touched. */
	t = settings();
	assert_true(t.c_lflag & ICANON);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	UNTIL(ep->state == ENDPOINT_UP);
	finish();
}

static void
test_two_of_us(void **state)
{
	const char *path = in_directory("tty");
	const char *keys[] = { "device", path, NULL };
	const char *shared[] = { "device", path, "exclusive", "no", NULL };
	struct endpoint *first, *third;
	int exclusive = 1;

	(void)state;
	plug(path);
	start(keys);
	first = ep;
	assert_int_equal(first->state, ENDPOINT_UP);
	start(keys);
	assert_string_equal(
	    ep->error.text, "held by another endpoint of this daemon");
	third = make_endpoint(&endpoint_serial, shared);
	endpoint_start(third);
	assert_int_equal(third->state, ENDPOINT_UP);
	endpoint_free(third);
	endpoint_free(first);
	UNTIL(ep->state == ENDPOINT_UP);
	/*
	 * A pty would stay in exclusive mode if we died: its next user could
	 * not open it.
	 */
	assert_int_equal(ioctl(ep->link.fd, TIOCGEXCL, &exclusive), 0);
	assert_int_equal(exclusive, 0);
	finish();
}

static void
test_lock_file(void **state)
{
	const char *path = in_directory("tty");
	const char *keys[] = { "device", path, NULL };
	char slave[64], *p, file[128];
	FILE *f;

	(void)state;
	plug(path);
	assert_int_equal(ptsname_r(far, slave, sizeof(slave)), 0);
	for (p = slave + 5; *p != '\0'; p++)
		if (*p == '/')
			*p = '_';
	snprintf(file, sizeof(file), "/run/lock/LCK..%s", slave + 5);
	if ((f = fopen(file, "w")) == NULL) {
		pull();
		skip();
	}
	fprintf(f, "%10d\n", (int)getppid());
	fclose(f);
	start(keys);
	assert_int_equal(ep->state, ENDPOINT_LOST);
	assert_non_null(strstr(ep->error.text, file));
	unlink(file);
	UNTIL(ep->state == ENDPOINT_UP);
	/* Of a process that has died, or of our own, it does not count. */
	for (size_t i = 0; i < 2; i++) {
		f = fopen(file, "w");
		assert_non_null(f);
		fprintf(f, "%10d\n", i == 0 ? 0x3ffffff : (int)getpid());
		fclose(f);
		endpoint_reopen(ep, "test");
		turn();
		unlink(file);
		assert_int_equal(ep->state, ENDPOINT_UP);
	}
	finish();
}

static void
test_errors_in_words(void **state)
{
	const struct {
		const char *device, *error;
	} cases[] = {
		{ in_directory("missing"), "no such device" },
		{ "/dev/null", "not a serial device" },
		{ directory, "not a serial device" },
		{ "/etc/passwd", "not a serial device" },
		{ "/etc/passwd/x", "no such device" },
	};
	const char *usb[] = { "usb", "dead:beef", NULL };

	(void)state;
	for (size_t i = 0; i < NELEM(cases); i++) {
		const char *keys[] = { "device", cases[i].device, NULL };

		start(keys);
		assert_int_equal(ep->state, ENDPOINT_LOST);
		assert_string_equal(ep->error.text, cases[i].error);
		endpoint_free(ep);
	}
	start(usb);
	assert_string_equal(
	    ep->error.text, "no USB serial port dead:beef is plugged in");
	assert_string_equal(ep->address, "usb dead:beef 9600 8N1");
	endpoint_free(ep);
}

static void
test_break(void **state)
{
	const char *path = in_directory("tty");
	const char *keys[] = { "device", path, NULL };
	struct line_errors counts;
	struct task *task;

	(void)state;
	plug(path);
	ep = make_endpoint(&endpoint_serial, keys);
	assert_int_equal(endpoint_break(ep, NSEC_PER_MSEC), -ENOTCONN);
	assert_int_equal(endpoint_serial.line_errors(ep, &counts), -ENOTCONN);
	endpoint_start(ep);
	assert_int_equal(endpoint_serial.line_errors(ep, &counts), -ENOTTY);
	assert_int_equal(endpoint_break(ep, 10 * NSEC_PER_MSEC), 0);
	assert_int_equal(endpoint_break(ep, 10 * NSEC_PER_MSEC), -EBUSY);
	task = task_find("ar1.break");
	assert_non_null(task);
	assert_int_equal(task->state, TASK_WAITING);
	UNTIL(task_find("ar1.break") == NULL);
	/* One that is on is ended by a person, or with the port. */
	assert_int_equal(endpoint_break(ep, 3600 * NSEC_PER_SEC), 0);
	task = task_find("ar1.break");
	task->cancel(task);
	assert_null(task_find("ar1.break"));
	assert_int_equal(endpoint_break(ep, 3600 * NSEC_PER_SEC), 0);
	finish();
	assert_null(task_find("ar1.break"));
}

/* --- keys ---------------------------------------------------------------- */

static int
parse(struct serial_conf *conf, const char *name, const char *value,
    struct error *err)
{
	const struct key *key = key_find(endpoint_serial.keys, name);

	assert_non_null(key);
	return key_parse(key, conf, value, err);
}

static void
test_modes(void **state)
{
	static const char *const good[] = { "8N1", "7E1", "5O2", "6M1", "8S2",
		"7e1", NULL };
	static const char *const bad[] = { "", "8N", "9N1", "4N1", "8X1", "8N3",
		"8N1.5", "8N11", NULL };
	const struct key *key = key_find(endpoint_serial.keys, "mode");
	struct serial_conf conf = { 0 };
	struct error err;
	char text[16];

	(void)state;
	for (int i = 0; good[i] != NULL; i++) {
		assert_int_equal(parse(&conf, "mode", good[i], &err), 0);
		key_print(key, &conf, text, sizeof(text));
		assert_int_equal(strcasecmp(text, good[i]), 0);
	}
	for (int i = 0; bad[i] != NULL; i++) {
		assert_int_equal(parse(&conf, "mode", bad[i], &err), -EINVAL);
		assert_non_null(strstr(err.text, "such as 8N1"));
	}
}

static void
test_order_of_signals(void **state)
{
	static const struct {
		const char *first, *a, *second, *b;
		int order;
	} cases[] = {
		{ "dtr", "on", "rts", "off", 0 },
		{ "rts", "off", "dtr", "on", 1 },
		{ "rts", "on", "dtr", "on", 1 },
		{ "dtr", "off", "rts", "off", 0 },
	};
	struct error err;

	(void)state;
	for (size_t i = 0; i < NELEM(cases); i++) {
		struct serial_conf conf = { 0 };

		assert_int_equal(key_defaults(endpoint_serial.keys, &conf), 0);
		assert_int_equal(
		    parse(&conf, cases[i].first, cases[i].a, &err), 0);
		assert_int_equal(
		    parse(&conf, cases[i].second, cases[i].b, &err), 0);
		assert_int_equal(conf.dtr.after_rts, cases[i].order);
		key_free(endpoint_serial.keys, &conf);
	}
	struct serial_conf conf = { 0 };
	assert_int_equal(parse(&conf, "dtr", "keeps", &err), -EINVAL);
	assert_string_equal(
	    err.text, "'keeps' is not on, off or keep; did you mean 'keep'?");
}

static void
test_faults(void **state)
{
	static const struct {
		const char *keys[7];
		const char *fault;
	} cases[] = {
		{ { NULL }, "needs 'device' or 'usb'" },
		{ { "device", "/dev/x", "usb", "1:2" }, "exclude each other" },
		{ { "device", "ttyS0" }, "did you mean '/dev/ttyS0'?" },
		{ { "device", "COM1" }, "--list-ports lists the devices" },
		{ { "usb", "1:2" }, "is not VID:PID" },
		{ { "usb", "2341:00430" }, "is not VID:PID" },
		{ { "usb", "2341:0043:" }, "is not VID:PID" },
		{ { "device", "/dev/x", "rs485", "yes", "flow", "rtscts" },
		    "both use RTS" },
		{ { "device", "/dev/x", "rs485", "yes", "rts", "on" },
		    "the driver sets RTS" },
		{ { "device", "/dev/x", "rs485_delay_after", "1.5ms" },
		    "whole milliseconds" },
		{ { "device", "/dev/x", "rs485_delay_after", "2ms" }, NULL },
		{ { "usb", "2341:0043:8543" }, NULL },
	};
	struct error err;

	(void)state;
	for (size_t i = 0; i < NELEM(cases); i++) {
		struct serial_conf conf = { 0 };
		struct endpoint_conf section = { .type_conf = &conf };

		assert_int_equal(key_defaults(endpoint_serial.keys, &conf), 0);
		for (const char *const *k = cases[i].keys; k[0] != NULL; k += 2)
			if (parse(&conf, k[0], k[1], &err) < 0)
				fail_msg("%s", err.text);
		if (cases[i].fault == NULL)
			assert_int_equal(
			    endpoint_serial.check(&section, &err), 0);
		else {
			assert_int_equal(
			    endpoint_serial.check(&section, &err), -EINVAL);
			if (strstr(err.text, cases[i].fault) == NULL)
				fail_msg("%s", err.text);
		}
		key_free(endpoint_serial.keys, &conf);
	}
	struct serial_conf conf = { 0 };
	assert_int_equal(parse(&conf, "baud", "0", &err), -EINVAL);
}

/* --- USB ----------------------------------------------------------------- */

static void
put(const char *dir, const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", in_directory(dir), name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void
shell(const char *fmt, const char *arg)
{
	char command[512];

	snprintf(
	    command, sizeof(command), "cd %s && %s%s", directory, fmt, arg);
	assert_int_equal(system(command), 0);
}

static void
test_usb(void **state)
{
	struct usb_id id;
	char path[64];

	(void)state;
	shell("mkdir -p class/tty d/1-1/1-1:1.0 d/1-2/1-2:1.0/ttyUSB9"
	      " d/1-2/1-2:1.1/ttyUSB10 class/tty/ttyACM0 class/tty/ttyUSB9"
	      " class/tty/ttyUSB10 class/tty/ttyS0",
	    "");
	shell("ln -s ../../../d/1-1/1-1:1.0 class/tty/ttyACM0/device", "");
	shell("ln -s ../../../d/1-2/1-2:1.0/ttyUSB9 class/tty/ttyUSB9/device",
	    "");
	shell("ln -s ../../../d/1-2/1-2:1.1/ttyUSB10"
	      " class/tty/ttyUSB10/device",
	    "");
	put("d/1-1", "idVendor", "2341\n");
	put("d/1-1", "idProduct", "0043\n");
	put("d/1-1", "serial", "85430353\n");
	put("d/1-2", "idVendor", "0403\n");
	put("d/1-2", "idProduct", "6010\n");

	assert_int_equal(usb_id_parse("2341:0043", &id), 0);
	assert_int_equal(
	    serial_list_find_usb(directory, &id, path, sizeof(path)), 0);
	assert_string_equal(path, "/dev/ttyACM0");
	assert_int_equal(usb_id_parse("2341:0043:85430353", &id), 0);
	assert_int_equal(
	    serial_list_find_usb(directory, &id, path, sizeof(path)), 0);
	assert_int_equal(usb_id_parse("2341:0043:8543", &id), 0);
	assert_int_equal(
	    serial_list_find_usb(directory, &id, path, sizeof(path)), -ENOENT);
	assert_int_equal(usb_id_parse("0403:6010", &id), 0);
	assert_int_equal(
	    serial_list_find_usb(directory, &id, path, sizeof(path)), 0);
	assert_string_equal(path, "/dev/ttyUSB9");
	assert_int_equal(usb_id_parse("0403:6010:X", &id), 0);
	assert_int_equal(
	    serial_list_find_usb(directory, &id, path, sizeof(path)), -ENOENT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    test_settings, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_every_byte_passes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_early_input, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_comes_back_elsewhere, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_changes_while_open, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_busy, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_two_of_us, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_lock_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_errors_in_words, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_break, set_up, tear_down),
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_order_of_signals),
		cmocka_unit_test(test_faults),
		cmocka_unit_test_setup_teardown(test_usb, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("serial", tests, NULL, NULL);
}
