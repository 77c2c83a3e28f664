/*
 * Listeners: who gets in, who is turned away, and what is left behind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/event.h>

#include "listener.h"

#define PATIENCE_NS (10 * NSEC_PER_SEC)

static struct event_base *base;
static struct error err;
static char directory[64], path[96];
static struct listener *listener;
static int accepted[32];
static unsigned naccepted;
static char last_peer[ADDRESS_TEXT_MAX];

/* Turns the loop until the condition holds. */
#define UNTIL(condition)                                           \
	do {                                                       \
		uint64_t until_ = now_ns() + PATIENCE_NS;          \
		struct timeval tick_ = { 0, 5000 };                \
		while (!(condition)) {                             \
			if (now_ns() > until_)                     \
				fail_msg("never: %s", #condition); \
			event_base_loopexit(base, &tick_);         \
			event_base_loop(base, EVLOOP_ONCE);        \
		}                                                  \
	} while (0)

static bool
on_accept(void *arg, int fd, const char *peer)
{
	assert_ptr_equal(arg, accepted);
	assert_true(naccepted < NELEM(accepted));
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	accepted[naccepted++] = fd;
	snprintf(last_peer, sizeof(last_peer), "%s", peer);
	listener_set_clients(listener, naccepted);
	return true;
}

static int
start(const char *where, struct listener_conf *conf, struct listener **ret)
{
	conf->name = "lan";
	conf->about = ABOUT_ENDPOINT;
	if (conf->max_clients == 0)
		conf->max_clients = 16;
	if (conf->mode == 0)
		conf->mode = -1;
	assert_int_equal(address_parse(where, &conf->address, &err), 0);
	error_clear(&err);
	return listener_new(base, conf, on_accept, accepted, ret, &err);
}

static void
listen_on(const char *where, struct listener_conf *conf)
{
	if (start(where, conf, &listener) != 0)
		fail_msg("%s", err.text);
}

static int
connect_to(const char *where)
{
	struct address address;
	int fd;

	assert_int_equal(address_parse(where, &address, &err), 0);
	fd = socket(address.ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(
	    connect(fd, (struct sockaddr *)&address.ss, address.len), 0);
	return fd;
}

/* The other side has closed. */
static bool
is_closed(int fd)
{
	char c;
	ssize_t n = recv(fd, &c, 1, MSG_DONTWAIT);

	return n == 0 || (n < 0 && errno == ECONNRESET);
}

static const char *
label(void)
{
	static char buf[TASK_LABEL_MAX];
	const struct task *task = task_find("lan.accept");

	assert_non_null(task);
	assert_int_equal(task->state, TASK_WAITING);
	task->label(task, buf, sizeof(buf));
	return buf;
}

static void
a_tcp_client_is_accepted_and_counted(void **state)
{
	struct listener_conf conf = { 0 };
	char expected[256];
	int fd;

	(void)state;
	listen_on("127.0.0.1:0", &conf);
	assert_int_not_equal(
	    strcmp(listener_address(listener), "127.0.0.1:0"), 0);
	snprintf(expected, sizeof(expected), "a TCP client on %s (0 of 16)",
	    listener_address(listener));
	assert_string_equal(label(), expected);
	fd = connect_to(listener_address(listener));
	UNTIL(naccepted == 1);
	assert_memory_equal(last_peer, "127.0.0.1:", 10);
	assert_non_null(strstr(label(), "(1 of 16)"));
	close(fd);
}

static void
the_kernel_has_an_event_for_each_wait(void **state)
{
	struct listener_conf conf = { 0 };

	(void)state;
	assert_int_equal(task_waiting(), 0);
	listen_on("127.0.0.1:0", &conf);
	assert_int_equal(task_waiting(), 1);
	assert_int_equal(
	    event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED), 1);
	listener_free(listener);
	listener = NULL;
	assert_int_equal(task_waiting(), 0);
	assert_null(task_find("lan.accept"));
}

static void
one_client_too_many_is_told_and_closed(void **state)
{
	struct listener_conf conf = { .max_clients = 2, .full = "too many\n" };
	char text[64];
	int fd[3], again;

	(void)state;
	listen_on("127.0.0.1:0", &conf);
	for (int i = 0; i < 3; i++)
		fd[i] = connect_to(listener_address(listener));
	UNTIL(recv(fd[2], text, 9, MSG_DONTWAIT) == 9);
	assert_memory_equal(text, "too many\n", 9);
	UNTIL(is_closed(fd[2]));
	assert_int_equal(naccepted, 2);
	assert_non_null(strstr(label(), "(2 of 2)"));
	/* When one has left, another may come. */
	close(accepted[--naccepted]);
	listener_set_clients(listener, naccepted);
	again = connect_to(listener_address(listener));
	UNTIL(naccepted == 2);
	for (int i = 0; i < 3; i++)
		close(fd[i]);
	close(again);
}

static void
a_port_in_use_is_an_error_with_a_sentence(void **state)
{
	struct listener_conf conf = { 0 }, same = { 0 };
	struct listener *other = NULL;

	(void)state;
	listen_on("127.0.0.1:0", &conf);
	assert_int_equal(
	    start(listener_address(listener), &same, &other), -EADDRINUSE);
	assert_null(other);
	assert_non_null(strstr(err.text, listener_address(listener)));
}

static void
a_port_that_needs_a_capability_is_an_error_that_names_it(void **state)
{
	struct listener_conf conf = { 0 };
	struct listener *other = NULL;
	int r;

	(void)state;
	/* Without the effective capabilities of root. */
	assert_int_equal(geteuid() == 0 ? seteuid(65534) : 0, 0);
	r = start("127.0.0.1:1", &conf, &other);
	assert_int_equal(getuid() == 0 ? seteuid(0) : 0, 0);
	listener_free(other);
	if (r == 0)
		skip(); /* the system lets every user listen on any port */
	assert_int_equal(r, -EACCES);
	assert_string_equal(err.text,
	    "cannot listen on 127.0.0.1:1: Permission denied; a port below"
	    " 1024 needs the capability CAP_NET_BIND_SERVICE"
	    " (AmbientCapabilities= of a systemd unit), or a socket unit that"
	    " listens on it (ListenStream=)");
}

static void
an_address_of_no_interface_is_an_error_that_says_so(void **state)
{
	struct listener_conf conf = { 0 };
	struct listener *other = NULL;

	(void)state;
	/* TEST-NET-1 of RFC 5737. */
	assert_int_equal(
	    start("192.0.2.1:5011", &conf, &other), -EADDRNOTAVAIL);
	assert_null(other);
	assert_string_equal(err.text,
	    "cannot listen on 192.0.2.1:5011: Cannot assign requested address;"
	    " no interface of this machine has this address");
}

static void
a_unix_socket_comes_and_goes(void **state)
{
	struct listener_conf conf = { .mode = 0622 };
	struct stat st;
	int fd;

	(void)state;
	listen_on(path, &conf);
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 0777, 0622);
	fd = connect_to(path);
	UNTIL(naccepted == 1);
	assert_string_equal(last_peer, "unix client");
	assert_non_null(strstr(label(), "a client on unix:/"));
	assert_non_null(strstr(label(), "(1 of 16)"));
	close(fd);
	listener_free(listener);
	listener = NULL;
	assert_int_equal(access(path, F_OK), -1);
}

static void
a_group_may_connect_without_a_mode(void **state)
{
	const struct group *group = getgrgid(getgid());
	struct listener_conf conf = { 0 };
	struct stat st;

	(void)state;
	if (group == NULL)
		skip();
	conf.group = group->gr_name;
	listen_on(path, &conf);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	assert_int_equal(st.st_gid, getgid());
}

static void
a_group_that_is_not_there_leaves_nothing_behind(void **state)
{
	struct listener_conf conf = { .group = "no such group" };

	(void)state;
	assert_true(start(path, &conf, &listener) < 0);
	assert_null(listener);
	assert_non_null(strstr(err.text, "'no such group'"));
	assert_int_equal(access(path, F_OK), -1);
}

/* As a daemon that was killed leaves it. */
static void
leave_stale_socket(void)
{
	struct address address;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	assert_int_equal(address_parse(path, &address, &err), 0);
	assert_int_equal(
	    bind(fd, (struct sockaddr *)&address.ss, address.len), 0);
	assert_int_equal(listen(fd, 1), 0);
	close(fd);
	assert_int_equal(access(path, F_OK), 0);
}

static void
a_stale_socket_is_taken_over(void **state)
{
	struct listener_conf conf = { 0 };
	int fd;

	(void)state;
	leave_stale_socket();
	listen_on(path, &conf);
	fd = connect_to(path);
	UNTIL(naccepted == 1);
	close(fd);
}

static void
a_socket_in_use_and_a_file_are_left_alone(void **state)
{
	struct listener_conf conf = { 0 }, same = { 0 };
	struct listener *other = NULL;
	const char *file;
	int fd;

	(void)state;
	listen_on(path, &conf);
	assert_int_equal(start(path, &same, &other), -EADDRINUSE);
	assert_non_null(strstr(err.text, "another program"));
	fd = connect_to(path);
	UNTIL(naccepted >= 1);
	close(fd);
	listener_free(listener);
	listener = NULL;
	file = path;
	fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(start(file, &same, &other), -EEXIST);
	assert_non_null(strstr(err.text, "is no socket"));
	assert_int_equal(access(file, F_OK), 0);
	assert_null(other);
}

static void
a_socket_that_another_has_put_there_is_not_removed(void **state)
{
	struct listener_conf conf = { 0 };

	(void)state;
	listen_on(path, &conf);
	assert_int_equal(unlink(path), 0);
	leave_stale_socket();
	listener_free(listener);
	listener = NULL;
	assert_int_equal(access(path, F_OK), 0);
}

static void
a_directory_that_is_not_there_is_named(void **state)
{
	struct listener_conf conf = { 0 };
	char where[128];

	(void)state;
	snprintf(where, sizeof(where), "%s/none/x", directory);
	assert_int_equal(start(where, &conf, &listener), -ENOENT);
	assert_non_null(strstr(err.text, where));
	assert_non_null(strstr(err.text, strerror(ENOENT)));
}

/* The limit that leaves no descriptor free. */
static void
limit_descriptors(struct rlimit *old)
{
	struct rlimit none;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, old), 0);
	none = *old;
	none.rlim_cur = (rlim_t)fd;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
}

static void
without_descriptors_it_turns_one_away_and_rests(void **state)
{
	struct listener_conf conf = { 0 };
	struct rlimit old;
	const char *said;
	uint64_t runs, again;
	int fd[2];

	(void)state;
	listen_on("127.0.0.1:0", &conf);
	for (int i = 0; i < 2; i++)
		fd[i] = connect_to(listener_address(listener));
	limit_descriptors(&old);
	UNTIL(is_closed(fd[0]));
	/* It waits for a timer now, and says so; the loop does not spin. */
	said = label();
	runs = task_find("lan.accept")->runs;
	for (int i = 0; i < 100; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
	again = task_find("lan.accept")->runs;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_non_null(strstr(said, "no descriptors"));
	assert_int_equal(again, runs);
	assert_int_equal(naccepted, 0);
	UNTIL(naccepted == 1);
	assert_non_null(strstr(label(), "a TCP client on"));
	assert_int_equal(write(fd[1], "x", 1), 1);
	close(fd[0]);
	close(fd[1]);
}

static unsigned
descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

static void
no_descriptor_is_left_open(void **state)
{
	struct listener_conf conf = { 0 };
	unsigned before = descriptors();

	(void)state;
	listen_on("127.0.0.1:0", &conf);
	listener_free(listener);
	listen_on(path, &conf);
	listener_free(listener);
	listener = NULL;
	conf.group = "no such group";
	assert_true(start(path, &conf, &listener) < 0);
	assert_int_equal(descriptors(), before);
}

/* The address of this machine by which others reach it, with the port. */
static bool
outside(char *buf, size_t size)
{
	struct address to;
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool found;

	assert_int_equal(address_parse("192.0.2.1:9", &to, &err), 0);
	found = connect(fd, (struct sockaddr *)&to.ss, to.len) == 0 &&
	    getsockname(fd, (struct sockaddr *)&ss, &len) == 0 &&
	    !address_is_loopback((struct sockaddr *)&ss);
	if (found) {
		address_format((struct sockaddr *)&ss, len, buf, size);
		*strrchr(buf, ':') = '\0';
	}
	close(fd);
	return found;
}

static void
a_stranger_is_closed_unless_allowed(void **state)
{
	struct listener_conf conf = { 0 };
	struct networks *allow;
	char host[ADDRESS_TEXT_MAX], where[ADDRESS_TEXT_MAX + 16];
	int fd;

	(void)state;
	if (!outside(host, sizeof(host)))
		skip();
	listen_on("*:0", &conf);
	snprintf(where, sizeof(where), "%s%s", host,
	    strrchr(listener_address(listener), ':'));
	fd = connect_to(where);
	UNTIL(is_closed(fd));
	close(fd);
	assert_int_equal(naccepted, 0);
	snprintf(where, sizeof(where), "127.0.0.1%s",
	    strrchr(listener_address(listener), ':'));
	fd = connect_to(where);
	UNTIL(naccepted == 1);
	close(fd);
	listener_free(listener);
	assert_int_equal(networks_parse(host, &allow, &err), 0);
	conf.allow = allow;
	listen_on("*:0", &conf);
	snprintf(where, sizeof(where), "%s%s", host,
	    strrchr(listener_address(listener), ':'));
	fd = connect_to(where);
	UNTIL(naccepted == 2);
	assert_memory_equal(last_peer, host, strlen(host));
	close(fd);
	networks_free(allow);
}

static int
set_up(void **state)
{
	(void)state;
	snprintf(directory, sizeof(directory), "/tmp/listener-test.XXXXXX");
	log_set_level(LOG_ERR);
	naccepted = 0;
	listener = NULL;
	if (mkdtemp(directory) == NULL || (base = event_base_new()) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/sock", directory);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	while (naccepted > 0)
		close(accepted[--naccepted]);
	listener_free(listener);
	event_base_free(base);
	unlink(path);
	return rmdir(directory);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_tcp_client_is_accepted_and_counted),
		TEST(the_kernel_has_an_event_for_each_wait),
		TEST(one_client_too_many_is_told_and_closed),
		TEST(a_port_in_use_is_an_error_with_a_sentence),
		TEST(a_port_that_needs_a_capability_is_an_error_that_names_it),
		TEST(an_address_of_no_interface_is_an_error_that_says_so),
		TEST(a_unix_socket_comes_and_goes),
		TEST(a_group_may_connect_without_a_mode),
		TEST(a_group_that_is_not_there_leaves_nothing_behind),
		TEST(a_stale_socket_is_taken_over),
		TEST(a_socket_in_use_and_a_file_are_left_alone),
		TEST(a_socket_that_another_has_put_there_is_not_removed),
		TEST(a_directory_that_is_not_there_is_named),
		TEST(without_descriptors_it_turns_one_away_and_rests),
		TEST(no_descriptor_is_left_open),
		TEST(a_stranger_is_closed_unless_allowed),
	};

	return cmocka_run_group_tests_name("listener", tests, NULL, NULL);
}
