/*
 * How much of what was written to a link its receiver has taken.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "taken.h"

struct pair {
	struct endpoint_conf conf;
	struct endpoint endpoint;
	struct link link;
	int receiver;
};

/* A connection of that family to that address of this machine. */
static void
connect_pair(struct pair *p, int family, const char *to)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in in = { .sin_family = AF_INET };
	bool old = strchr(to, ':') == NULL;
	struct sockaddr *sa = (void *)(old ? (void *)&in : (void *)&in6);
	socklen_t len = old ? sizeof(in) : sizeof(in6), n = sizeof(in6);
	const int off = 0;
	int listener = socket(family, SOCK_STREAM, 0);

	assert_true(listener >= 0);
	if (family == AF_INET6)
		setsockopt(
		    listener, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	assert_return_code(listen(listener, 1), 0);
	assert_return_code(
	    getsockname(listener, (struct sockaddr *)&in6, &n), 0);
	in.sin_port = in6.sin6_port;
	inet_pton(old ? AF_INET : AF_INET6, to,
	    old ? (void *)&in.sin_addr : (void *)&in6.sin6_addr);
	p->receiver = socket(sa->sa_family, SOCK_STREAM, 0);
	assert_return_code(connect(p->receiver, sa, len), 0);
	p->link.fd = accept(listener, NULL, NULL);
	assert_true(p->link.fd >= 0);
	close(listener);
}

static void
make_pair(struct pair *p, const char *to)
{
	int fd[2];

	memset(p, 0, sizeof(*p));
	p->conf.ops = &endpoint_tcp_server;
	p->endpoint.conf = &p->conf;
	p->link.endpoint = &p->endpoint;
	p->link.socket = true;
	if (to != NULL) {
		connect_pair(p,
		    strcmp(to, "::ffff") == 0 || strchr(to, ':') != NULL
			? AF_INET6
			: AF_INET,
		    strcmp(to, "::ffff") == 0 ? "127.0.0.1" : to);
		return;
	}
	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	p->link.fd = fd[0];
	p->receiver = fd[1];
}

static void
drop_pair(struct pair *p)
{
	close(p->link.fd);
	close(p->receiver);
}

static void
writes(struct pair *p, size_t len)
{
	char *data = calloc(1, len);

	assert_int_equal(write(p->link.fd, data, len), len);
	p->link.tx_bytes += len;
	free(data);
}

static void
reads(struct pair *p, size_t len)
{
	char *data = malloc(len);

	assert_int_equal(recv(p->receiver, data, len, MSG_WAITALL), len);
	free(data);
}

/* Until the number is that; acknowledgements come a little later. */
static void
has_taken(const struct pair *p, uint64_t bytes)
{
	struct taken taken;

	for (int i = 0; i < 5000; i++) {
		link_taken(&p->link, &taken);
		if (taken.bytes == bytes)
			return;
		usleep(1000);
	}
	assert_int_equal(taken.bytes, bytes);
}

static void
is_seen_to_the_byte(const char *to)
{
	struct pair p;
	struct taken taken;

	make_pair(&p, to);
	writes(&p, 30000);
	link_taken(&p.link, &taken);
	if (taken.delay_ns != 0) {
		drop_pair(&p);
		skip(); /* no sock_diag here */
	}
	has_taken(&p, 0);
	reads(&p, 1);
	has_taken(&p, 1);
	reads(&p, 9999);
	has_taken(&p, 10000);
	writes(&p, 5000);
	has_taken(&p, 10000);
	reads(&p, 25000);
	has_taken(&p, 35000);
	drop_pair(&p);
}

static void
a_tcp_receiver_is_seen_to_the_byte(void **state)
{
	(void)state;
	is_seen_to_the_byte("127.0.0.1");
}

static void
an_ipv6_receiver_is_seen_to_the_byte(void **state)
{
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
		.sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int r = bind(fd, (struct sockaddr *)&in6, sizeof(in6));

	(void)state;
	close(fd);
	if (fd < 0 || r < 0)
		skip();
	is_seen_to_the_byte("::1");
}

static void
an_ipv4_receiver_of_an_ipv6_socket_is_seen_to_the_byte(void **state)
{
	int fd = socket(AF_INET6, SOCK_STREAM, 0);

	(void)state;
	close(fd);
	if (fd < 0)
		skip();
	is_seen_to_the_byte("::ffff");
}

static void
a_unix_receiver_is_seen_to_the_byte(void **state)
{
	(void)state;
	is_seen_to_the_byte(NULL);
}

/* Its own end of the connection is closed: it cannot be looked at any more. */
static void
one_that_cannot_be_seen_gets_time(void **state)
{
	struct pair p;
	struct taken taken;

	(void)state;
	make_pair(&p, NULL);
	p.link.tx_bytes = 1000;
	close(p.receiver);
	p.receiver = -1;
	link_taken(&p.link, &taken);
	assert_true(taken.delay_ns > NSEC_PER_SEC);
	close(p.link.fd);
}

static void
a_serial_port_gets_the_time_of_its_drivers_buffer(void **state)
{
	struct pair p;
	struct taken taken;

	(void)state;
	make_pair(&p, NULL);
	p.conf.ops = &endpoint_serial;
	p.link.socket = false;
	p.conf.framing.baud = 9600;
	link_taken(&p.link, &taken);
	/* 4096 bytes of 10 bits each. */
	assert_true(taken.delay_ns > 4267 * NSEC_PER_MSEC);
	assert_true(taken.delay_ns < 6 * NSEC_PER_SEC);
	p.conf.framing.baud = 115200;
	link_taken(&p.link, &taken);
	assert_true(taken.delay_ns < NSEC_PER_SEC / 2);
	drop_pair(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tcp_receiver_is_seen_to_the_byte),
		cmocka_unit_test(an_ipv6_receiver_is_seen_to_the_byte),
		cmocka_unit_test(
		    an_ipv4_receiver_of_an_ipv6_socket_is_seen_to_the_byte),
		cmocka_unit_test(a_unix_receiver_is_seen_to_the_byte),
		cmocka_unit_test(one_that_cannot_be_seen_gets_time),
		cmocka_unit_test(
		    a_serial_port_gets_the_time_of_its_drivers_buffer),
	};

	return cmocka_run_group_tests_name("taken", tests, NULL, NULL);
}
