/*
 * slave: answers requests, at once or at the speed of a line, and spoils some answers.
 *
 * A line is busy for 11 bits a character.  After each frame the standard demands 3.5
 * characters of silence, at least 1.75 ms above 19200 baud: the units answer after it,
 * and the next request may begin after it.  What a request that has been sent by its
 * master comes later than this, the line was idle.
 */
#include <err.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crowd.h"
#include "result.h"
#include "slave.h"
#include "subject.h"

#define PIECES 256
#define CHARACTER 11 /* bits */
#define STEP 8	     /* characters that a UART hands over at once */
#define NO_TIME 0
#define CUT_OFF (10 * MSEC) /* a request that stops for so long is cut off */

/* Bytes that are sent at a time. */
struct piece {
	uint64_t due_ns;
	size_t len;
	uint8_t bytes[WIRE_MAX];
	struct request *answers; /* with these bytes; NULL: none, or not yet */
};

static struct slave_conf conf;
static int bus;
static struct piece pieces[PIECES]; /* by time */
static unsigned npieces;
static uint8_t in[4 * WIRE_MAX];
static size_t in_len;
static uint64_t in_ns; /* when the last of it came */

static uint64_t gap_ns; /* of silence, after a frame */
static uint64_t end_ns; /* of the last answer; NO_TIME: there is none yet */
static uint64_t first_ns, idle_ns, least_ns;
static uint64_t early;	/* requests that did not wait for the gap */
static uint32_t *turns; /* from an answer to a request that waited for it */
static size_t nturns;

void
slave_init(const struct slave_conf *wanted, int fd)
{
	conf = *wanted;
	bus = fd;
	turns = calloc(conf.requests, sizeof(*turns));
	if (turns == NULL)
		errx(1, "out of memory");
	if (conf.baud > 0)
		gap_ns = conf.baud > 19200
		    ? 1750000
		    : 7 * CHARACTER * SEC / conf.baud / 2;
}

void
slave_start(void)
{
	first_ns = end_ns = NO_TIME;
	idle_ns = early = nturns = 0;
	least_ns = NEVER;
}

static uint64_t
line_time(size_t characters)
{
	return conf.baud == 0 ? 0 : characters * CHARACTER * SEC / conf.baud;
}

/* --- what is sent -------------------------------------------------------- */

static void
send_piece(const struct piece *p)
{
	/* Before it is written: what it wakes may have the CPU first. */
	if (p->answers != NULL)
		p->answers->out_ns = end_ns = clock_ns();
	if (write(bus, p->bytes, p->len) != (ssize_t)p->len)
		err(1, "an answer was not taken");
}

static void
add_piece(const uint8_t *bytes, size_t len, uint64_t due, struct request *r)
{
	unsigned at = npieces;

	if (npieces == PIECES)
		errx(1, "too many answers wait to be sent");
	for (; at > 0 && pieces[at - 1].due_ns > due; at--)
		pieces[at] = pieces[at - 1];
	pieces[at] = (struct piece){ .due_ns = due, .len = len, .answers = r };
	memcpy(pieces[at].bytes, bytes, len);
	npieces++;
}

/* Sends a frame whose first character begins then; returns when its last one ends. */
static uint64_t
send_frame(const uint8_t *bytes, size_t len, uint64_t start, struct request *r)
{
	size_t at = 0, n;

	while (at < len) {
		n = len - at;
		if (conf.pause > 0 && n > 1)
			n = 1 + random_below((uint32_t)n);
		else if (conf.baud > 0 && n > STEP)
			n = STEP;
		start += line_time(n);
		add_piece(bytes + at, n, start, at + n == len ? r : NULL);
		at += n;
		if (at < len)
			start += conf.pause * MSEC;
	}
	return start;
}

/* At most one byte of an answer, which every checksum notices. */
static bool
flip(uint8_t *bytes, size_t len)
{
	for (size_t i = 0; conf.flip > 0 && i < len; i++)
		if (random_below(conf.flip) == 0) {
			bytes[i] ^= (uint8_t)(1 + random_below(255));
			return true;
		}
	return false;
}

/* --- what is received ---------------------------------------------------- */

/* A request has come that the bus could have had when the answer before it was through. */
static void
note_turn(const struct request *r, uint64_t now)
{
	uint64_t free_ns = end_ns + gap_ns;

	if (first_ns == NO_TIME)
		first_ns = now;
	if (end_ns == NO_TIME)
		return;
	if (now - end_ns < least_ns)
		least_ns = now - end_ns;
	if (now < free_ns)
		early++;
	if (r->sent_ns < end_ns && nturns < conf.requests)
		turns[nturns++] = (uint32_t)(now - end_ns);
	if (r->sent_ns > free_ns)
		free_ns = r->sent_ns;
	if (now > free_ns)
		idle_ns += now - free_ns;
}

static void
answer(const struct message *m, size_t len, uint64_t now)
{
	struct request *r = crowd_asked(m);
	uint64_t start = now + line_time(len);
	struct message reply;
	uint8_t wire[WIRE_MAX];
	bool late;
	size_t n;

	model_answer(m, &reply);
	if (r != NULL) {
		note_turn(r, now);
		r->answer = reply;
		r->in_ns = now;
	}
	if (conf.echo) {
		n = message_encode(FORM_RTU, m, wire);
		send_frame(wire, n, now, NULL);
	}
	n = message_encode(FORM_RTU, &reply, wire);
	start += gap_ns;
	late = conf.slow != 0 && m->inner[0] == conf.slow;
	if (late)
		start += conf.slow_ms * MSEC;
	if ((flip(wire, n) || late) && r != NULL)
		r->spoiled = true;
	send_frame(wire, n, start, r);
}

void
slave_input(void)
{
	ssize_t n = read(bus, in + in_len, sizeof(in) - in_len);
	uint64_t now = clock_ns();
	struct message m;
	size_t at = 0;
	long used;

	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		errx(1, "the bus was closed");
	if (in_len > 0 && now - in_ns > CUT_OFF) {
		crowd_fault("a request on the bus that stops");
		memmove(in, in + in_len, (size_t)n);
		in_len = 0;
	}
	in_len += (size_t)n;
	in_ns = now;
	while ((used = message_decode(
		    FORM_RTU, false, in + at, in_len - at, &m)) > 0) {
		at += (size_t)used;
		answer(&m, (size_t)used, now);
	}
	if (used < 0) {
		crowd_fault("no request on the bus");
		at = in_len;
	}
	in_len -= at;
	memmove(in, in + at, in_len);
	slave_due(now);
}

uint64_t
slave_due(uint64_t now)
{
	unsigned n = 0;

	while (n < npieces && pieces[n].due_ns <= now)
		send_piece(&pieces[n++]);
	npieces -= n;
	memmove(pieces, pieces + n, npieces * sizeof(*pieces));
	return npieces > 0 ? pieces[0].due_ns : NEVER;
}

void
slave_put(void)
{
	put_times("turn_", turns, nturns);
	put("gap_us", least_ns == NEVER ? 0 : (double)least_ns / 1e3);
	if (conf.baud == 0)
		return;
	put("busy_percent",
	    100 - 100 * (double)idle_ns / (double)(end_ns - first_ns));
	put("early", (double)early);
}
