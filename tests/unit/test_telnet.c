/*
 * telnet: options, data and subnegotiations, with every split of the input.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "telnet.h"

#define IAC "\xff"
#define DONT "\xfe"
#define DO "\xfd"
#define WONT "\xfc"
#define WILL "\xfb"
#define SB "\xfa"
#define SE "\xf0"
#define BINARY "\0"
#define ECHO "\x01"
#define SGA "\x03"
#define COM_PORT ","

static const struct telnet_option options[] = {
	{ TELNET_BINARY, true, true, true, true },
	{ TELNET_ECHO, true, false, false, false },
	{ TELNET_COM_PORT, false, true, false, true },
};

/* What was sent, and what was decoded. */
static struct {
	uint8_t sent[4096], data[4096], subs[4096];
	size_t nsent, ndata, nsubs;
	unsigned options, commands;
} got;

static void
on_send(void *arg, const uint8_t *data, size_t len)
{
	(void)arg;
	assert_true(got.nsent + len <= sizeof(got.sent));
	memcpy(got.sent + got.nsent, data, len);
	got.nsent += len;
}

static void
start(struct telnet *t)
{
	memset(&got, 0, sizeof(got));
	telnet_init(t, options, NELEM(options), on_send, NULL);
}

static void
feed(struct telnet *t, const void *in, size_t len)
{
	uint8_t copy[4096], *at = copy;
	enum telnet_event event;
	size_t used, n;

	memcpy(copy, in, len);
	do {
		n = telnet_decode(t, at, at, len, &used, &event);
		assert_true(n <= used && used <= len);
		memcpy(got.data + got.ndata, at, n);
		got.ndata += n;
		got.options += event == TELNET_OPTION;
		got.commands += event == TELNET_COMMAND;
		if (event == TELNET_SUBNEGOTIATION) {
			memcpy(got.subs + got.nsubs, t->sub, t->sub_len);
			got.nsubs += t->sub_len;
			got.subs[got.nsubs++] = '|';
		}
		at += used;
		len -= used;
	} while (event != TELNET_NOTHING);
	assert_int_equal(len, 0);
}

#define FEED(t, s) feed(t, s, sizeof(s) - 1)
#define SENT(s)                                              \
	do {                                                 \
		assert_int_equal(got.nsent, sizeof(s) - 1);  \
		assert_memory_equal(got.sent, s, got.nsent); \
		got.nsent = 0;                               \
	} while (0)

/* --- options --------------------------------------------------------------- */

static void
offers_are_sent_once(void **state)
{
	struct telnet t;

	(void)state;
	start(&t);
	telnet_offer(&t);
	SENT(IAC WILL BINARY IAC DO BINARY IAC DO COM_PORT);
	assert_true(t.binary_out);
	assert_false(t.binary_in);
	FEED(&t, IAC DO BINARY IAC WILL BINARY IAC WILL COM_PORT);
	SENT("");
	assert_true(t.binary_out && t.binary_in);
	assert_true(telnet_has(&t, TELNET_COM_PORT, false));
	assert_int_equal(got.options, 3);
	/* What is so already is not answered. */
	FEED(&t, IAC DO BINARY IAC WILL BINARY);
	SENT("");
}

static void
offers_may_be_refused(void **state)
{
	struct telnet t;

	(void)state;
	start(&t);
	telnet_offer(&t);
	got.nsent = 0;
	FEED(&t, IAC DONT BINARY IAC WONT BINARY);
	SENT("");
	assert_false(t.binary_out || t.binary_in);
	/* The other side changes its mind. */
	FEED(&t, IAC DO BINARY);
	SENT(IAC WILL BINARY);
	assert_true(t.binary_out);
	FEED(&t, IAC DONT BINARY);
	SENT(IAC WONT BINARY);
	FEED(&t, IAC DONT BINARY IAC WONT BINARY);
	SENT("");
}

static void
requests_are_answered(void **state)
{
	struct telnet t;

	(void)state;
	start(&t);
	FEED(&t, IAC DO ECHO IAC WILL ECHO IAC DO COM_PORT);
	SENT(IAC WILL ECHO IAC DONT ECHO IAC WONT COM_PORT);
	FEED(&t, IAC DO "\x18" IAC WILL "\x1f" IAC WONT "\x1f" IAC DONT "\x18");
	SENT(IAC WONT "\x18" IAC DONT "\x1f");
	assert_int_equal(got.ndata, 0);
}

/* Whatever a side offers, two of them stop talking. */
static void
two_sides_come_to_an_end(void **state)
{
	struct telnet a, b;
	uint8_t bytes[sizeof(got.sent)];
	size_t len, turns = 0;

	(void)state;
	start(&a);
	start(&b);
	telnet_offer(&a);
	telnet_offer(&b);
	for (len = got.nsent; len > 0; len = got.nsent) {
		memcpy(bytes, got.sent, len);
		got.nsent = 0;
		feed(turns % 2 == 0 ? &a : &b, bytes, len);
		assert_true(++turns < 10);
	}
}

/* --- data and subnegotiations ---------------------------------------------- */

static const char stream[] = "ab" IAC IAC "c" IAC SB ",\x01" IAC IAC "x" IAC SE
			     "d" IAC "\xf1" IAC WILL BINARY "\r\0e" IAC IAC;

static void
check_stream(const struct telnet *t)
{
	assert_int_equal(got.ndata, 9);
	assert_memory_equal(got.data,
	    "ab\xff"
	    "cd\r\0e\xff",
	    9);
	assert_int_equal(got.nsubs, 5);
	assert_memory_equal(got.subs, ",\x01\xffx|", 5);
	assert_int_equal(got.commands, 1);
	assert_true(t->binary_in);
	SENT(IAC DO BINARY);
}

static void
every_split_is_decoded(void **state)
{
	const size_t len = sizeof(stream) - 1;
	struct telnet t;

	(void)state;
	for (size_t i = 0; i <= len; i++)
		for (size_t j = i; j <= len; j++) {
			start(&t);
			feed(&t, stream, i);
			feed(&t, stream + i, j - i);
			feed(&t, stream + j, len - j);
			check_stream(&t);
		}
}

/* The state may be handed over between any two bytes. */
static void
every_split_survives_a_restart(void **state)
{
	const size_t len = sizeof(stream) - 1;
	struct telnet t, next;

	(void)state;
	for (size_t i = 0; i <= len; i++) {
		struct pack p = { .data = NULL };
		struct unpack u;

		start(&t);
		feed(&t, stream, i);
		telnet_save(&t, &p);
		telnet_init(&next, options, NELEM(options), on_send, NULL);
		u = (struct unpack){ .at = p.data, .left = p.len };
		telnet_restore(&next, &u);
		assert_false(u.failed || u.left > 0);
		feed(&next, stream + i, len - i);
		check_stream(&next);
		pack_free(&p);
	}
}

static void
nvt_input(void **state)
{
	struct telnet t;

	(void)state;
	start(&t);
	FEED(&t, "a\r\nb\r\0c\rd\r\r\0\0" IAC IAC "\0\r" IAC IAC "\0");
	assert_int_equal(got.ndata, 16);
	assert_memory_equal(got.data, "a\r\nb\rc\rd\r\r\0\xff\0\r\xff\0", 16);
	/* What is received as binary is between them. */
	start(&t);
	FEED(&t, "\r" IAC WILL BINARY "x" IAC WONT BINARY "\0");
	assert_int_equal(got.ndata, 3);
	assert_memory_equal(got.data, "\rx\0", 3);
}

/* Decodes the rest of the input in another process. */
static void
feed_next(struct telnet *t, const void *in, size_t len)
{
	struct pack p = { .data = NULL };
	struct unpack u;

	telnet_save(t, &p);
	telnet_init(t, options, NELEM(options), on_send, NULL);
	u = (struct unpack){ .at = p.data, .left = p.len };
	telnet_restore(t, &u);
	assert_false(u.failed || u.left > 0);
	pack_free(&p);
	feed(t, in, len);
}

static void
nvt_and_long_input_survive_a_restart(void **state)
{
	static const uint8_t a[TELNET_SUB_MAX + 1];
	struct telnet t;

	(void)state;
	start(&t);
	FEED(&t, "x\r");
	feed_next(&t, "\0y", 2);
	assert_int_equal(got.ndata, 3);
	assert_memory_equal(got.data, "x\ry", 3);
	FEED(&t, IAC SB);
	feed(&t, a, sizeof(a));
	feed_next(&t, IAC SE, 2);
	assert_int_equal(t.malformed, 1);
	assert_int_equal(got.nsubs, 0);
}

static void
subnegotiations_are_bounded(void **state)
{
	static const char a[1000];
	struct telnet t;

	(void)state;
	start(&t);
	FEED(&t, IAC SB);
	feed(&t, a, TELNET_SUB_MAX);
	FEED(&t, IAC SE);
	assert_int_equal(t.malformed, 0);
	assert_int_equal(got.nsubs, TELNET_SUB_MAX + 1);
	got.nsubs = 0;
	FEED(&t, IAC SB);
	feed(&t, a, TELNET_SUB_MAX + 1);
	FEED(&t, IAC SE);
	assert_int_equal(t.malformed, 1);
	t.malformed = 0;
	FEED(&t, IAC SB);
	for (int i = 0; i < 100; i++)
		FEED(&t, a);
	assert_int_equal(t.malformed, 0);
	FEED(&t, IAC SE "a");
	assert_int_equal(t.malformed, 1);
	FEED(&t, IAC SB IAC SE "b");
	assert_int_equal(t.malformed, 2);
	/* One that is not ended by SE. */
	FEED(&t, IAC SB ",1" IAC DO ECHO "c");
	SENT(IAC WILL ECHO);
	FEED(&t, IAC SB ",1" IAC SB ",2" IAC SE);
	assert_int_equal(t.malformed, 4);
	assert_int_equal(got.ndata, 3);
	assert_int_equal(got.nsubs, 3);
	assert_memory_equal(got.subs, ",2|", 3);
}

/* --- output ---------------------------------------------------------------- */

static void
check_encoding(const struct telnet *t, const char *data, size_t len,
    const char *want, size_t want_len)
{
	uint8_t out[64];
	size_t used, n, done, piece;

	n = telnet_encode(
	    t, (const uint8_t *)data, len, out, sizeof(out), &used);
	assert_int_equal(used, len);
	assert_int_equal(n, want_len);
	assert_memory_equal(out, want, n);
	/* In pieces, each of which ends with a whole byte. */
	for (size_t size = 2; size < sizeof(out); size++)
		for (n = done = 0; done < len; done += used, n += piece) {
			piece = telnet_encode(t, (const uint8_t *)data + done,
			    len - done, out + n, size, &used);
			assert_in_range(piece, 1, size);
		}
	assert_int_equal(n, want_len);
	assert_memory_equal(out, want, n);
}

#define ENCODED(t, data, want) \
	check_encoding(t, data, sizeof(data) - 1, want, sizeof(want) - 1)

static void
output_is_encoded(void **state)
{
	struct telnet t;

	(void)state;
	start(&t);
	ENCODED(&t, "a\r\nb\rc\xff\r", "a\r\nb\r\0c\xff\xff\r\0");
	telnet_assume(&t);
	ENCODED(&t, "a\r\nb\rc\xff\r", "a\r\nb\rc\xff\xff\r");
	assert_int_equal(telnet_plain(&t, (const uint8_t *)"ab\r\xff", 4), 3);
}

static void
subnegotiations_are_encoded(void **state)
{
	uint8_t out[TELNET_SUB_SIZE(3)];

	(void)state;
	assert_int_equal(telnet_sub(out, TELNET_COM_PORT,
			     (const uint8_t *)"\x65\xff\x02", 3),
	    9);
	assert_memory_equal(out, IAC SB ",\x65\xff\xff\x02" IAC SE, 9);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(offers_are_sent_once),
		cmocka_unit_test(offers_may_be_refused),
		cmocka_unit_test(requests_are_answered),
		cmocka_unit_test(two_sides_come_to_an_end),
		cmocka_unit_test(every_split_is_decoded),
		cmocka_unit_test(every_split_survives_a_restart),
		cmocka_unit_test(nvt_input),
		cmocka_unit_test(nvt_and_long_input_survive_a_restart),
		cmocka_unit_test(subnegotiations_are_bounded),
		cmocka_unit_test(output_is_encoded),
		cmocka_unit_test(subnegotiations_are_encoded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
