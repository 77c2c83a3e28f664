/*
 * fuzz_remote: the client side of RFC 2217.  Whatever the other machine sends, the settings
 * that are known of its line exist, what is sent to it is bounded by what was received and
 * asked for, and all of it goes through a hand-over unchanged.
 *
 * The input is a list of steps: a byte says how many bytes of the other machine follow, or
 * what is asked for.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "rfc2217_client.h"
#include "telnet.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

/* What may be sent for each byte that was received, and for each step. */
#define EACH 32

static const struct telnet_option options[] = {
	{ TELNET_COM_PORT, true, true, true, false },
	{ TELNET_BINARY, true, true, true, true },
	{ TELNET_SGA, true, true, true, true },
	{ TELNET_ECHO, false, true, false, false },
};

static size_t sent;

static void
insist(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "fuzz_remote: %s\n", what);
	abort();
}

static void
send_command(void *arg, const uint8_t *data, size_t len)
{
	(void)arg, (void)data;
	sent += len;
}

static bool
send_sub(void *arg, const uint8_t *data, size_t len)
{
	uint8_t sub[TELNET_SUB_SIZE(UINT8_MAX)];

	send_command(arg, sub, telnet_sub(sub, TELNET_COM_PORT, data, len));
	return true;
}

static void
check_line(const struct rfc2217_client *c)
{
	struct line_settings line;
	char words[512];

	rfc2217_client_get(c, &line);
	insist(line.mode.bits >= 5 && line.mode.bits <= 8 &&
		line.mode.stop >= 1 && line.mode.stop <= 2 &&
		line.mode.parity != '\0' &&
		strchr("NEOMS", line.mode.parity) != NULL &&
		line.flow >= FLOW_NONE && line.flow <= FLOW_DTRDSR,
	    "a setting that does not exist");
	insist(line.baud > 0, "a line without a speed");
	rfc2217_client_difference(c, words, sizeof(words));
	insist(strlen(words) < 200, "a long message");
	rfc2217_client_awaited(c, words, sizeof(words));
	insist(rfc2217_client_settled(c) == (words[0] == '\0'),
	    "nothing is awaited, or something");
}

/* What was saved and restored is saved as the same. */
static void
check_save(const struct rfc2217_client *c)
{
	struct pack first = { 0 }, second = { 0 };
	struct rfc2217_client other;
	struct unpack u = { 0 };

	rfc2217_client_save(c, &first);
	insist(!first.failed, "out of memory");
	u.at = first.data;
	u.left = first.len;
	rfc2217_client_init(&other, send_sub, NULL);
	rfc2217_client_restore(&other, &u);
	insist(!u.failed && u.left == 0, "it cannot be restored");
	rfc2217_client_save(&other, &second);
	insist(first.len == second.len &&
		memcmp(first.data, second.data, first.len) == 0,
	    "it was restored otherwise");
	pack_free(&first);
	pack_free(&second);
}

/* What is restored from such a file is refused, or good. */
static void
restore_garbage(const uint8_t *data, size_t len)
{
	struct unpack u = { .at = data, .left = len };
	struct rfc2217_client c;

	rfc2217_client_init(&c, send_sub, NULL);
	rfc2217_client_restore(&c, &u);
	if (!u.failed)
		check_line(&c);
}

static void
receive(struct telnet *telnet, struct rfc2217_client *c, const uint8_t *data,
    size_t len)
{
	uint8_t out[256];
	enum telnet_event event;
	size_t used, n;

	while (len > 0) {
		n = telnet_decode(telnet, out, data, len, &used, &event);
		insist(n <= used && used <= len, "more than there was");
		insist(used > 0, "no progress");
		data += used;
		len -= used;
		if (event == TELNET_SUBNEGOTIATION && telnet->sub_len > 0 &&
		    telnet->sub[0] == TELNET_COM_PORT)
			rfc2217_client_receive(
			    c, telnet->sub + 1, telnet->sub_len - 1);
	}
}

static void
ask(struct rfc2217_client *c, uint8_t step)
{
	const struct line_settings line = { 300u << (step & 7),
		{ 5 + (step & 3), "NEOMS"[step % 5], 1 + (step & 1) },
		(step >> 2) & 3 };

	switch (step & 7) {
	case 0:
	case 1:
		rfc2217_client_set(c, &line, step & 1);
		break;
	case 2:
		rfc2217_client_signals(c, TIOCM_DTR | TIOCM_RTS, TIOCM_RTS);
		break;
	case 3:
		rfc2217_client_break(c, step & 8);
		break;
	case 4:
		rfc2217_client_purge(c, step & 8, step & 16);
		break;
	case 5:
		rfc2217_client_watch(c);
		break;
	default:
		check_save(c);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const uint8_t *at = data, *end = data + len;
	struct rfc2217_client c;
	struct telnet telnet;
	size_t n, allowed = 64;

	sent = 0;
	telnet_init(&telnet, options, NELEM(options), send_command, NULL);
	rfc2217_client_init(&c, send_sub, NULL);
	telnet_offer(&telnet);
	while (at < end) {
		uint8_t step = *at++;

		n = MIN((size_t)(step & 0x7f) + 1, (size_t)(end - at));
		if (step & 0x80) {
			ask(&c, step);
			allowed += 3 * EACH;
		} else {
			receive(&telnet, &c, at, n);
			at += n;
			allowed += n * EACH;
		}
		check_line(&c);
		insist(sent <= allowed, "too much was sent");
	}
	restore_garbage(data, len);
	return 0;
}
