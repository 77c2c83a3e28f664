/*
 * link: a link whose bytes are carried by something else than a descriptor, output of a
 * link with a filter, and an owner that refuses a link.
 */
#include "endpoint_harness.h"

#include <sys/socket.h>

#include "telnet_filter.h"

static struct {
	const char *input; /* NULL: nothing now; empty: the other side ends */
	size_t input_len;  /* 0: input is a string */
	char output[64];
	size_t output_len;
	bool telnet;
	size_t room; /* what is taken of the output */
	unsigned waits;
	bool closed;
} far;

static ssize_t
far_read(struct link *link, void *buf, size_t size)
{
	size_t n;

	(void)link;
	if (far.input == NULL)
		return -EAGAIN;
	n = MIN(far.input_len > 0 ? far.input_len : strlen(far.input), size);
	memcpy(buf, far.input, n);
	far.input = n > 0 ? NULL : far.input;
	return (ssize_t)n;
}

static ssize_t
far_write(struct link *link, const void *data, size_t len)
{
	size_t n = MIN(len, far.room);

	(void)link;
	if (n == 0)
		return -EAGAIN;
	assert_true(far.output_len + n <= sizeof(far.output));
	memcpy(far.output + far.output_len, data, n);
	far.output_len += n;
	far.room -= n;
	return (ssize_t)n;
}

static void
far_wait(struct link *link)
{
	(void)link;
	far.waits++;
}

static void
far_label(const struct link *link, char *buf, size_t size)
{
	(void)link;
	snprintf(buf, size, "the far end to take it");
}

static void
far_closed(struct link *link)
{
	(void)link;
	far.closed = true;
}

static const struct link_ops far_ops = {
	.read = far_read,
	.write = far_write,
	.wait = far_wait,
	.label = far_label,
	.closed = far_closed,
};

static int
far_check(struct endpoint_conf *conf, struct error *err)
{
	(void)conf, (void)err;
	return 0;
}

static int
far_open(struct endpoint *ep)
{
	endpoint_listening(ep);
	return endpoint_add_transport(ep, &far_ops, NULL, "far", false) == NULL
	    ? -ENOMEM
	    : 0;
}

static void
far_close(struct endpoint *ep)
{
	(void)ep;
}

static int
far_attach(struct link *link)
{
	struct telnet_filter *t;

	if (!far.telnet)
		return 0;
	t = calloc(1, sizeof(*t));
	assert_non_null(t);
	telnet_attach(link, t, &telnet_client);
	return 0;
}

static const struct key no_keys[] = { { .name = NULL } };
static const struct endpoint_ops far_type = {
	.type = "far",
	.keys = no_keys,
	.several = true,
	.check = far_check,
	.open = far_open,
	.close = far_close,
	.attach = far_attach,
};
static struct endpoint *ep;
static struct link *link_;

static void
open_far(bool telnet)
{
	const char *keys[] = { NULL };

	memset(&far, 0, sizeof(far));
	far.telnet = telnet;
	ep = make_endpoint(&far_type, keys);
	endpoint_start(ep);
	link_ = TAILQ_FIRST(&ep->links);
	assert_non_null(link_);
}

static void
test_reads_what_is_announced(void **state)
{
	(void)state;
	open_far(false);
	assert_true(link_->reading);
	link_ready(link_, EV_READ);
	assert_int_equal(got_len, 0);
	far.input = "hello";
	link_ready(link_, EV_READ);
	assert_int_equal(got_len, 5);
	assert_memory_equal(got, "hello", 5);
	/* While it is not to be read, an announcement is of no effect. */
	far.waits = 0;
	link_set_reading(link_, false);
	assert_int_equal(far.waits, 1);
	far.input = "more";
	link_ready(link_, EV_READ);
	assert_int_equal(got_len, 5);
	link_set_reading(link_, true);
	assert_int_equal(far.waits, 2);
	link_ready(link_, EV_READ);
	assert_int_equal(got_len, 9);
	far.input = "";
	link_ready(link_, EV_READ);
	assert_true(link_->read_eof);
	endpoint_free(ep);
	assert_true(far.closed);
}

static void
test_what_is_not_taken_waits(void **state)
{
	const struct task *task;
	char label[64];

	(void)state;
	open_far(false);
	far.room = 4;
	assert_int_equal(link_write(link_, "0123456789", 10), 4);
	assert_int_equal(link_hand(link_, (const uint8_t *)"456789", 6), 0);
	assert_int_equal(link_pending(link_), 6);
	assert_int_equal(far.waits, 2); /* the first time for reading */
	task = task_find("ar1#1.write");
	task->label(task, label, sizeof(label));
	assert_string_equal(label, "the far end to take it");
	/* Nothing overtakes it. */
	assert_int_equal(link_write(link_, "x", 1), 0);
	far.room = 2;
	link_ready(link_, EV_WRITE);
	assert_int_equal(link_pending(link_), 4);
	assert_int_equal(far.waits, 3);
	far.room = 64;
	link_ready(link_, EV_WRITE);
	assert_int_equal(link_pending(link_), 0);
	assert_int_equal(far.output_len, 10);
	assert_memory_equal(far.output, "0123456789", 10);
	task->label(task, label, sizeof(label));
	assert_string_equal(label, "ar1#1 1");
	assert_int_equal(link_write(link_, "x", 1), 1);
	assert_int_equal(link_->tx_bytes, 11);
	endpoint_free(ep);
}

static void
test_closing_tells_the_transport(void **state)
{
	(void)state;
	open_far(false);
	link_close(link_, "by hand");
	assert_false(far.closed);
	UNTIL(far.closed);
	assert_int_equal(ep->nlinks, 0);
	endpoint_free(ep);
}

/* --- telnet on a descriptor ------------------------------------------------- */

static int pair[2];

static int
pair_attach(struct link *link)
{
	struct telnet_filter *filter = calloc(1, sizeof(*filter));

	if (filter == NULL)
		return -ENOMEM;
	telnet_attach(link, filter, &telnet_client);
	return 0;
}

static int
pair_open(struct endpoint *e)
{
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	return endpoint_up(e, pair[0], true);
}

static const struct endpoint_ops pair_type = {
	.type = "pair",
	.keys = no_keys,
	.check = far_check,
	.open = pair_open,
	.close = far_close,
	.attach = pair_attach,
};

static void
open_pair(void)
{
	const char *keys[] = { NULL };

	ep = make_endpoint(&pair_type, keys);
	endpoint_start(ep);
}

/* Reads all that has arrived, and returns how many of its last bytes fit into buf. */
static size_t
read_far(char *buf, size_t size)
{
	size_t total = 0;
	ssize_t n;

	while ((n = read(pair[1], buf, size)) > 0)
		total = (size_t)n;
	return total;
}

static void
test_commands_that_wait_are_output(void **state)
{
	static const uint8_t command[] = { TELNET_IAC, TELNET_NOP };
	char waste[4096];

	(void)state;
	open_pair();
	turn();
	assert_int_equal(link_held(&ep->link), 0);
	while (write(pair[0], "x", 1) == 1)
		continue;
	assert_true(filter_command(ep->link.filter, command, sizeof(command)));
	assert_int_equal(link_held(&ep->link), sizeof(command));
	/* Also after the other side has ended its output. */
	shutdown(pair[1], SHUT_WR);
	ep->link.read_eof = true;
	assert_false(link_finish(&ep->link));
	while (link_held(&ep->link) > 0) {
		assert_true(read_far(waste, sizeof(waste)) > 0);
		link_finish(&ep->link);
	}
	assert_true(link_finish(&ep->link));
	assert_int_equal(read_far(waste, sizeof(waste)), sizeof(command));
	assert_memory_equal(waste, command, sizeof(command));
	endpoint_free(ep);
	close(pair[1]);
}

/* At once, because a type frees what belongs to the link when its open() fails. */
static void
test_a_link_that_its_owner_refuses_is_closed_once(void **state)
{
	const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int other;

	(void)state;
	up_result = -ENOMEM;
	open_pair();
	up_result = 0;
	assert_int_equal(ep->state, ENDPOINT_LOST);
	/* Another file gets its number. */
	other = pair[0];
	assert_int_equal(fcntl(other, F_GETFD), -1);
	assert_int_equal(dup2(null, other), other);
	close(pair[1]);
	UNTIL(ep->state == ENDPOINT_UP);
	assert_int_not_equal(pair[0], other);
	assert_true(fcntl(other, F_GETFD) >= 0);
	endpoint_free(ep);
	close(other);
	close(null);
	close(pair[1]);
}

/* Without BINARY: CR and NUL are a pair. */
static void
test_a_byte_of_a_pair_may_be_written_alone(void **state)
{
	(void)state;
	open_far(true);
	far.room = sizeof(far.output);
	far.input = "\xff\xfe\0";
	far.input_len = 3;
	link_ready(link_, EV_READ);
	far.output_len = 0;
	far.room = 2;
	assert_int_equal(link_write(link_, "a\rb", 3), 2);
	assert_int_equal(link_write(link_, "b", 1), 0);
	far.room = 8;
	assert_int_equal(link_write(link_, "b", 1), 1);
	assert_int_equal(far.output_len, 4);
	assert_memory_equal(far.output, "a\r\0b", 4);
	endpoint_free(ep);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_reads_what_is_announced),
		TEST(test_what_is_not_taken_waits),
		TEST(test_closing_tells_the_transport),
		TEST(test_commands_that_wait_are_output),
		TEST(test_a_link_that_its_owner_refuses_is_closed_once),
		TEST(test_a_byte_of_a_pair_may_be_written_alone),
	};

	return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}
