/*
 * bridge: created from a configuration, and freed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <pty.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include <event2/event.h>

#include "bridge.h"
#include "config.h"
#include "log.h"

static const char conf_text[] =
    "[serial m]\ndevice = %s/m\nframing = modbus-ascii\npayload = inner\n"
    "[serial bus]\ndevice = %s/bus\nframing = modbus-rtu\npayload = inner\n"
    "[route shared]\nfrom = m\nto = bus\nexchange = modbus\n";

/* A pseudo-terminal in raw mode whose slave has that name; returns the master. */
static int
open_device(const char *directory, const char *name, int *ret_slave)
{
	struct termios raw = { 0 };
	char path[128];
	int master;

	cfmakeraw(&raw);
	assert_int_equal(openpty(&master, ret_slave, NULL, &raw, NULL), 0);
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	assert_int_equal(symlink(ttyname(*ret_slave), path), 0);
	return master;
}

/* What a start that fails leaves behind: endpoints that are open, and were not read. */
static void
test_requests_that_come_before_it_is_freed(void **state)
{
	static const char request[] = ":01030000000AF2\r\n";
	char directory[] = "/tmp/ttybridge-test.XXXXXX", text[512];
	struct event_base *base = event_base_new();
	struct faults faults = { 0 };
	struct bridge *bridge;
	struct config *c = NULL;
	struct error err;
	int master[2], slave[2];

	(void)state;
	log_set_level(LOG_ERR);
	assert_non_null(mkdtemp(directory));
	master[0] = open_device(directory, "m", &slave[0]);
	master[1] = open_device(directory, "bus", &slave[1]);
	snprintf(text, sizeof(text), conf_text, directory, directory);
	assert_int_equal(bridge_new(base, &bridge), 0);
	assert_int_equal(
	    config_parse("test", text, strlen(text), &c, &faults), 0);
	assert_int_equal(bridge_apply(bridge, c, &err), 0);
	config_free(c);
	assert_int_equal(bridge_up(bridge), 2);
	for (int i = 0; i < 3; i++)
		assert_int_equal(write(master[0], request, sizeof(request) - 1),
		    sizeof(request) - 1);
	bridge_free(bridge);
	event_base_free(base);
	for (int i = 0; i < 2; i++) {
		close(master[i]);
		close(slave[i]);
	}
	snprintf(text, sizeof(text), "rm -r %s", directory);
	assert_int_equal(system(text), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests_that_come_before_it_is_freed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
