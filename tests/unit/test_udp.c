/*
 * udp: a partner, and peers that come and go.
 */
#include "endpoint_harness.h"

#include "address.h"

static struct endpoint *ep;

static void
open_udp(const char *listen, const char *send_to)
{
	const char *keys[5];
	size_t n = 0;

	if (listen != NULL) {
		keys[n++] = "listen";
		keys[n++] = listen;
	}
	if (send_to != NULL) {
		keys[n++] = "send_to";
		keys[n++] = send_to;
	}
	keys[n] = NULL;
	ep = make_endpoint(&endpoint_udp, keys);
	endpoint_start(ep);
	assert_int_equal(ep->state, ENDPOINT_UP);
}

/* A socket of ours; its address in words. */
static int
user(char *name, size_t size)
{
	struct address a;
	struct error err;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	assert_int_equal(address_parse("127.0.0.1:0", &a, &err), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a.ss, a.len), 0);
	a.len = sizeof(a.ss);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a.ss, &a.len), 0);
	address_format((struct sockaddr *)&a.ss, a.len, name, size);
	return fd;
}

static void
user_sends(int fd, const char *to, const void *data, size_t len)
{
	struct address a;
	struct error err;

	assert_int_equal(address_parse(to, &a, &err), 0);
	assert_int_equal(
	    sendto(fd, data, len, 0, (struct sockaddr *)&a.ss, a.len), len);
}

static void
user_gets(int fd, const char *text)
{
	char buf[256];
	ssize_t n;

	UNTIL((n = recv(fd, buf, sizeof(buf), 0)) >= 0);
	assert_int_equal(n, strlen(text));
	assert_memory_equal(buf, text, strlen(text));
}

static void
link_says(struct link *link, const char *text)
{
	assert_int_equal(link_write(link, text, strlen(text)), strlen(text));
}

static void
end(void)
{
	endpoint_free(ep);
	assert_int_equal(task_waiting(), 1); /* for hang-ups */
}

static void
each_write_is_a_datagram(void **state)
{
	char name[ADDRESS_TEXT_MAX];
	int fd = user(name, sizeof(name));
	struct link *link;

	(void)state;
	open_udp(NULL, name);
	assert_int_equal(ep->nlinks, 1);
	link = TAILQ_FIRST(&ep->links);
	assert_string_equal(link->address, name);
	link_says(link, "one");
	link_says(link, "two");
	link_says(link, "three");
	user_gets(fd, "one");
	user_gets(fd, "two");
	user_gets(fd, "three");
	close(fd);
	end();
}

static void
who_sends_becomes_a_peer(void **state)
{
	char name[2][ADDRESS_TEXT_MAX];
	int fd[2];

	(void)state;
	open_udp("127.0.0.1:0", NULL);
	assert_int_equal(ep->nlinks, 0);
	for (unsigned i = 0; i < 2; i++) {
		struct link *link;

		fd[i] = user(name[i], sizeof(name[i]));
		user_sends(fd[i], ep->address, "hello", 5);
		UNTIL(got_len == 5 * (i + 1));
		assert_int_equal(ep->nlinks, i + 1);
		link = TAILQ_LAST(&ep->links, link_list);
		assert_string_equal(link->address, name[i]);
		link_says(link, "welcome");
		user_gets(fd[i], "welcome");
	}
	/* The same one again is the same link. */
	user_sends(fd[0], ep->address, "again", 5);
	UNTIL(got_len == 15);
	assert_memory_equal(got, "hellohelloagain", 15);
	assert_int_equal(ep->nlinks, 2);
	close(fd[0]);
	close(fd[1]);
	end();
}

static void
a_partner_alone_is_heard(void **state)
{
	char partner[ADDRESS_TEXT_MAX], other[ADDRESS_TEXT_MAX];
	int fd = user(partner, sizeof(partner));
	int stranger = user(other, sizeof(other));
	struct sockaddr_storage ss;
	struct address from = { .len = sizeof(ss) };
	char here[ADDRESS_TEXT_MAX], buf[8];

	(void)state;
	open_udp(NULL, partner);
	link_says(TAILQ_FIRST(&ep->links), "x");
	UNTIL(recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&from.ss,
		  &from.len) == 1);
	address_format(
	    (struct sockaddr *)&from.ss, from.len, here, sizeof(here));
	user_sends(stranger, here, "stranger", 8);
	user_sends(fd, here, "partner", 7);
	UNTIL(got_len > 0);
	assert_int_equal(got_len, 7);
	assert_memory_equal(got, "partner", 7);
	assert_int_equal(ep->nlinks, 1);
	close(fd);
	close(stranger);
	end();
}

static void
empty_and_large_datagrams_do_no_harm(void **state)
{
	static char large[4097];
	char name[ADDRESS_TEXT_MAX];
	int fd = user(name, sizeof(name));

	(void)state;
	memset(large, 'x', sizeof(large));
	open_udp("127.0.0.1:0", NULL);
	user_sends(fd, ep->address, "", 0);
	user_sends(fd, ep->address, large, 4096);
	UNTIL(got_len == 4096);
	user_sends(fd, ep->address, large, 4097);
	user_sends(fd, ep->address, "after", 5);
	UNTIL(got_len > 4096);
	assert_int_equal(got_len, 4096 + 5);
	assert_memory_equal(got + 4096, "after", 5);
	assert_int_equal(ep->nlinks, 1);
	close(fd);
	end();
}

static void
what_is_not_read_waits_and_stays_whole(void **state)
{
	char name[ADDRESS_TEXT_MAX], text[101];
	int fd = user(name, sizeof(name));
	const struct task *task;
	struct link *link;
	char label[256];

	(void)state;
	open_udp("127.0.0.1:0", NULL);
	task = task_find("ar1.receive");
	user_sends(fd, ep->address, "first", 5);
	UNTIL(got_len == 5);
	got_len = 0;
	link = TAILQ_FIRST(&ep->links);
	link_set_reading(link, false);
	for (unsigned i = 0; i < 200; i++) {
		snprintf(text, sizeof(text), "%0100u", i);
		user_sends(fd, ep->address, text, 100);
	}
	turn();
	task->label(task, label, sizeof(label));
	assert_non_null(strstr(label, "room for a datagram"));
	assert_int_equal(got_len, 0);
	/* They wait in the kernel. */
	link_set_reading(link, true);
	UNTIL(got_len == 200 * 100);
	for (unsigned i = 0; i < 200; i++) {
		snprintf(text, sizeof(text), "%0100u", i);
		assert_memory_equal(got + 100 * i, text, 100);
	}
	close(fd);
	end();
}

static void
a_partner_that_is_closed_comes_back(void **state)
{
	char name[ADDRESS_TEXT_MAX];
	int fd = user(name, sizeof(name));

	(void)state;
	open_udp("127.0.0.1:0", name);
	link_close(TAILQ_FIRST(&ep->links), "by hand");
	UNTIL(ep->next_link == 2 && ep->nlinks == 1);
	link_says(TAILQ_FIRST(&ep->links), "back");
	user_gets(fd, "back");
	close(fd);
	end();
}

static void
a_peer_that_is_closed_comes_back_when_it_sends(void **state)
{
	char name[ADDRESS_TEXT_MAX];
	int fd = user(name, sizeof(name));

	(void)state;
	open_udp("127.0.0.1:0", NULL);
	user_sends(fd, ep->address, "a", 1);
	UNTIL(got_len == 1);
	link_close(TAILQ_FIRST(&ep->links), "by hand");
	user_sends(fd, ep->address, "b", 1);
	UNTIL(got_len == 2);
	assert_int_equal(ep->nlinks, 1);
	assert_int_equal(ep->next_link, 2);
	close(fd);
	end();
}

static void
peers_are_bounded(void **state)
{
	char name[ADDRESS_TEXT_MAX];
	int fd[18];

	(void)state;
	open_udp("127.0.0.1:0", NULL);
	for (unsigned i = 0; i < NELEM(fd); i++) {
		fd[i] = user(name, sizeof(name));
		user_sends(fd[i], ep->address, "x", 1);
		turn();
	}
	UNTIL(got_len == 18);
	/* The others have one link, which only receives. */
	assert_int_equal(ep->nlinks, 17);
	assert_true(TAILQ_LAST(&ep->links, link_list)->receive_only);
	for (unsigned i = 0; i < NELEM(fd); i++)
		close(fd[i]);
	end();
}

static void
an_event_for_each_wait(void **state)
{
	char name[ADDRESS_TEXT_MAX];
	int fd = user(name, sizeof(name));
	unsigned events;

	(void)state;
	open_udp("127.0.0.1:0", NULL);
	user_sends(fd, ep->address, "x", 1);
	while (got_len == 0)
		event_base_loop(base, EVLOOP_ONCE);
	turn();
	events =
	    (unsigned)event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED);
	assert_int_equal(task_waiting(), events);
	close(fd);
	end();
}

static void
the_section_is_checked(void **state)
{
	static const struct {
		const char *keys[9];
		const char *says; /* NULL: it is right */
	} tests[] = {
		{ { NULL }, "needs 'listen' or 'send_to'" },
		{ { "listen", "nowhere" }, "'listen': 'nowhere'" },
		{ { "send_to", "nowhere" }, "'send_to': 'nowhere'" },
		{ { "send_to", "/run/x" }, "'send_to' is a path" },
		{ { "listen", "*:5010" }, "'allow' must say" },
		{ { "listen", "*:5010", "allow", "lan" }, "'allow': 'lan'" },
		{ { "listen", "*:5010", "allow", "10.0.0.0/8" }, NULL },
		{ { "listen", "*:5010", "send_to", "10.0.0.1:5010" }, NULL },
		{ { "listen", "5010", "send_to", "10.0.0.1:5010" },
		    "beyond this machine" },
		{ { "listen", "*:5010", "send_to", "[fd00::1]:5010" }, "IPv6" },
		{ { "listen", "[::]:5010", "send_to", "10.0.0.1:5010" }, NULL },
		{ { "listen", "5010" }, NULL },
		{ { "send_to", "10.0.0.1:5010" }, NULL },
		{ { "send_to", "10.0.0.1:1, [fd00::1]:1 10.0.0.2:1" }, NULL },
		{ { "send_to", "10.0.0.1:1 10.0.0.1:1" },
		    "'send_to' has 10.0.0.1:1 twice" },
		{ { "send_to", "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17" },
		    "'send_to' has more than 16 addresses" },
		{ { "multicast", "239.1.2.3" }, "'multicast' needs 'listen'" },
		{ { "listen", "*:1", "multicast", "239.1.2.3" },
		    "'allow' must say" },
		{ { "listen", "*:1", "multicast", "239.1.2.3", "send_to",
		      "239.1.2.3:1" },
		    "'allow' must say" },
		{ { "listen", "*:1", "multicast", "239.1.2.3 239.1.2.4",
		      "allow", "10.0.0.0/8" },
		    NULL },
		{ { "listen", "239.1.2.3:1", "multicast", "239.1.2.3", "allow",
		      "10.0.0.0/8" },
		    NULL },
		{ { "listen", "239.1.2.3:1", "allow", "10.0.0.0/8" },
		    "'listen' is the address of a group; write listen = *:1" },
		{ { "listen", "1", "multicast", "239.1.2.3" },
		    "with 'multicast' write listen = *:1" },
		{ { "listen", "[::1]:1", "multicast", "ff05::1" },
		    "with 'multicast' write listen = [::]:1" },
		{ { "listen", "*:1", "multicast", "ff05::1" },
		    "such as [::]:1" },
		{ { "listen", "[::]:1", "multicast", "ff05::1 239.1.2.3",
		      "allow", "10.0.0.0/8" },
		    NULL },
		{ { "listen", "*:1", "multicast", "192.168.1.1" },
		    "'multicast': '192.168.1.1' is not the address of a"
		    " group; those are" },
		{ { "listen", "*:1", "multicast", "239.1.2.3:1" },
		    "write it without a port" },
		{ { "listen", "*:1", "multicast", "239.1.2.3 239.1.2.3" },
		    "'multicast' has 239.1.2.3 twice" },
		{ { "listen", "1", "ttl", "3" }, "'ttl' is for multicast" },
		{ { "send_to", "1", "loopback", "no" },
		    "'loopback' is for multicast" },
		{ { "send_to", "1", "interface", "lo" },
		    "'interface' is for multicast" },
		{ { "send_to", "239.1.2.3:1", "interface", "10.0.0.1", "ttl",
		      "9", "loopback", "no" },
		    NULL },
		{ { "send_to", "[ff05::1]:1", "interface", "10.0.0.1" },
		    "'interface' is an address" },
		{ { "send_to", "[ff05::1]:1", "interface", "eth0" }, NULL },
	};

	(void)state;
	for (size_t i = 0; i < NELEM(tests); i++) {
		struct endpoint_conf *conf =
		    make_conf(&endpoint_udp, tests[i].keys);
		struct error err = { "" };
		int r = endpoint_udp.check(conf, &err);

		if (r != (tests[i].says != NULL ? -EINVAL : 0) ||
		    (r < 0 && strstr(err.text, tests[i].says) == NULL))
			fail_msg(
			    "%zu: '%s', not '%s'", i, err.text, tests[i].says);
		endpoint_conf_free(conf);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_write_is_a_datagram),
		TEST(who_sends_becomes_a_peer),
		TEST(a_partner_alone_is_heard),
		TEST(empty_and_large_datagrams_do_no_harm),
		TEST(what_is_not_read_waits_and_stays_whole),
		TEST(a_partner_that_is_closed_comes_back),
		TEST(a_peer_that_is_closed_comes_back_when_it_sends),
		TEST(peers_are_bounded),
		TEST(an_event_for_each_wait),
		cmocka_unit_test(the_section_is_checked),
	};

	return cmocka_run_group_tests_name("udp", tests, NULL, NULL);
}
