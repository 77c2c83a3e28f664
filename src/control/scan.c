/*
 * scan: asks each unit of a Modbus bus for one register, and shows which of them answer.
 *
 * The requests are those of a tap, as for ask, one at a time, so that the masters of the
 * bus take their turns with them.  The data path only records what became of a request.
 * The result is shown and the next unit is asked in the client's turns; a client that
 * does not read its replies therefore delays its scan.
 *
 * The next line of the client ends the scan.  A client that closes its sending direction
 * gets the whole of it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>

#include "command.h"
#include "call.h"
#include "convert.h"
#include "exchange.h"
#include "query.h"
#include "value.h"

/* The units that the Modbus specification assigns to devices. */
#define FIRST_UNIT 1
#define READ_REGISTERS 3

enum scan_state {
	SCAN_NEXT,     /* the next unit is to be asked */
	SCAN_AWAITING, /* the answer of the unit is awaited... */
	SCAN_ANSWERED, /* ...it has arrived... */
	SCAN_EXCEPTION,
	SCAN_SILENT,  /* ...the unit has not answered in time... */
	SCAN_DROPPED, /* ...or its request was dropped */
};

struct scan {
	char bus[ENDPOINT_NAME_MAX];
	uint64_t up_ns; /* since when the bus is up */
	unsigned first, last;
	unsigned unit; /* that is asked, or the next one */
	enum scan_state state;
	uint8_t exception;  /* of the answer */
	uint64_t answer_ns; /* from the request to the answer */
	bool json;
	bool ended; /* by the next line of the client, before all units */
	/* What was found: */
	bool exists[MODBUS_UNIT_MAX + 1];
	unsigned nanswers;
	uint64_t time[MODBUS_UNIT_MAX +
	    1]; /* of each answer, in the order of arrival */
	unsigned nexceptions, nsilent, ndropped;
};

static bool
is_modbus_bus(const struct node *node)
{
	return node->exchange != NULL &&
	    exchange_conf(node->exchange)->exchange == EXCHANGE_MODBUS;
}

/* --- what becomes of a request -------------------------------------------- */

static void
on_frame(struct tap *tap, const struct port *from, const char *to,
    const uint8_t *payload, size_t len)
{
	struct client *c = CLIENT_OF(tap);
	const struct exchange *ex = from->node->exchange;
	struct scan *scan = c->scan;
	struct modbus m;

	(void)to;
	if (c->closed || scan == NULL || scan->state != SCAN_AWAITING ||
	    ex == NULL || !exchange_answers(ex, tap))
		return;
	scan->state = SCAN_ANSWERED;
	if (framing_modbus(&from->conf->framing, payload, len, &m) &&
	    (m.function & MODBUS_EXCEPTION) != 0) {
		scan->state = SCAN_EXCEPTION;
		scan->exception = m.data[0];
	}
	scan->answer_ns = now_ns() - exchange_shown_sent_ns(ex);
	c->ops->wake(c);
}

static void
on_unanswered(struct tap *tap, bool sent)
{
	struct client *c = CLIENT_OF(tap);

	if (c->closed || c->scan == NULL || c->scan->state != SCAN_AWAITING)
		return;
	c->scan->state = sent ? SCAN_SILENT : SCAN_DROPPED;
	c->ops->wake(c);
}

bool
command_scan_awaits(const struct client *c)
{
	return c->scan != NULL && c->scan->state == SCAN_AWAITING;
}

static unsigned
units_done(const struct scan *scan)
{
	return scan->unit - scan->first;
}

void
command_scan_label(const struct client *c, char *buf, size_t size)
{
	const struct scan *scan = c->scan;

	snprintf(buf, size,
	    "an answer of unit %u on %s to a scan of %s (%u of %u done, %u "
	    "answered)",
	    scan->unit, scan->bus, c->address, units_done(scan),
	    scan->last - scan->first + 1, scan->nanswers);
}

/* --- one unit ------------------------------------------------------------- */

static const char *
exception_name(uint8_t code)
{
	static const char *const names[] = {
		[0x01] = "illegal function",
		[0x02] = "illegal data address",
		[0x03] = "illegal data value",
		[0x04] = "server device failure",
		[0x05] = "acknowledge",
		[0x06] = "server device busy",
		[0x07] = "negative acknowledge",
		[0x08] = "memory parity error",
		[MODBUS_NO_PATH] = "gateway path unavailable",
		[MODBUS_NO_ANSWER] = "gateway target device failed to respond",
	};
	const char *name = code < NELEM(names) ? names[code] : NULL;

	return name != NULL ? name : "not a standard exception";
}

/*
 * Whether the result shows that the unit exists: so does an exception, unless it is one by
 * which a gateway reports that the unit behind it does not answer.
 */
static bool
unit_exists(const struct scan *scan)
{
	return scan->state == SCAN_ANSWERED ||
	    (scan->state == SCAN_EXCEPTION &&
		scan->exception != MODBUS_NO_PATH &&
		scan->exception != MODBUS_NO_ANSWER);
}

static void
count_unit(struct scan *scan)
{
	if (unit_exists(scan)) {
		scan->exists[scan->unit] = true;
		scan->time[scan->nanswers++] = scan->answer_ns;
		scan->nexceptions += scan->state == SCAN_EXCEPTION;
	} else if (scan->state == SCAN_DROPPED) {
		scan->ndropped++;
	} else {
		scan->nsilent++;
	}
}

static void
show_text(const struct scan *scan, struct evbuffer *out)
{
	char after[24];

	evbuffer_add_printf(out, "unit %u: ", scan->unit);
	format_time(scan->answer_ns, after, sizeof(after));
	switch (scan->state) {
	case SCAN_ANSWERED:
		evbuffer_add_printf(out, "answered in %s\n", after);
		break;
	case SCAN_EXCEPTION:
		evbuffer_add_printf(out, "exception %02x (%s) in %s\n",
		    scan->exception, exception_name(scan->exception), after);
		break;
	case SCAN_DROPPED:
		evbuffer_add_printf(out, "the request was dropped\n");
		break;
	default:
		evbuffer_add_printf(out, "no answer\n");
	}
}

static void
show_json(const struct scan *scan, struct evbuffer *out)
{
	static const char *const results[] = {
		[SCAN_ANSWERED] = "answered",
		[SCAN_EXCEPTION] = "exception",
		[SCAN_SILENT] = "no answer",
		[SCAN_DROPPED] = "dropped",
	};
	char exception[8] = "null", after[32] = "null";

	if (scan->state == SCAN_EXCEPTION)
		snprintf(exception, sizeof(exception), "%u", scan->exception);
	if (scan->state == SCAN_ANSWERED || scan->state == SCAN_EXCEPTION)
		print_seconds(scan->answer_ns, 6, after, sizeof(after));
	evbuffer_add_printf(out,
	    "%s{\"unit\":%u,\"result\":\"%s\",\"exception\":%s,\"time\":%s}",
	    units_done(scan) > 0 ? "," : "", scan->unit, results[scan->state],
	    exception, after);
}

/* Counts and shows the result of the unit. */
static void
show_unit(struct client *c)
{
	struct scan *scan = c->scan;

	count_unit(scan);
	(scan->json ? show_json : show_text)(scan, c->reply);
	scan->state = SCAN_NEXT;
	scan->unit++;
}

/* --- the end -------------------------------------------------------------- */

static int
compare_times(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t
median(struct scan *scan)
{
	unsigned n = scan->nanswers;

	qsort(scan->time, n, sizeof(*scan->time), compare_times);
	return (scan->time[(n - 1) / 2] + scan->time[n / 2]) / 2;
}

/* "1-3, 5, 17" */
static void
show_ranges(const struct scan *scan, struct evbuffer *out)
{
	const char *separator = "";

	for (unsigned low = 0, high; low <= MODBUS_UNIT_MAX; low = high + 1) {
		high = low;
		if (!scan->exists[low])
			continue;
		while (high < MODBUS_UNIT_MAX && scan->exists[high + 1])
			high++;
		evbuffer_add_printf(out, "%s%u", separator, low);
		if (high > low)
			evbuffer_add_printf(out, "-%u", high);
		separator = ", ";
	}
}

static void
sum_up_text(struct scan *scan, struct evbuffer *out)
{
	unsigned n = units_done(scan);
	char after[24];

	if (n == 0 && !scan->ended) {
		evbuffer_add_printf(out, "no unit was asked\n");
		return;
	}
	if (scan->nanswers > 0)
		show_ranges(scan, out);
	else
		evbuffer_add_printf(out, "no unit");
	evbuffer_add_printf(out, " answered (%u of %u unit%s)", scan->nanswers,
	    n, n == 1 ? "" : "s");
	if (scan->nanswers > 0)
		evbuffer_add_printf(out, ", median %s",
		    format_time(median(scan), after, sizeof(after)));
	if (scan->nexceptions > 0)
		evbuffer_add_printf(out, ", %u exception%s", scan->nexceptions,
		    scan->nexceptions == 1 ? "" : "s");
	if (scan->nsilent > 0)
		evbuffer_add_printf(
		    out, ", %u without an answer", scan->nsilent);
	if (scan->ndropped > 0)
		evbuffer_add_printf(out, ", %u dropped", scan->ndropped);
	if (scan->ended)
		evbuffer_add_printf(out,
		    ", ended by the next line before unit %u answered",
		    scan->unit);
	evbuffer_add(out, "\n", 1);
}

static void
sum_up_json(struct scan *scan, struct evbuffer *out)
{
	char after[32] = "null";

	if (scan->nanswers > 0)
		print_seconds(median(scan), 6, after, sizeof(after));
	evbuffer_add_printf(out,
	    "],\"answered\":%u,\"exceptions\":%u,\"unanswered\":%u,"
	    "\"dropped\":%u,\"median\":%s,\"ended\":%s}\n",
	    scan->nanswers, scan->nexceptions, scan->nsilent, scan->ndropped,
	    after, scan->ended ? "true" : "false");
}

/* Replies what was found; error: why the scan ends early, or NULL. */
static void
finish(struct client *c, const char *error)
{
	struct scan *scan = c->scan;

	client_untap(c);
	(scan->json ? sum_up_json : sum_up_text)(scan, c->reply);
	if (error != NULL)
		client_error(c, error);
	else
		evbuffer_add(c->reply, "OK\n", 3);
	c->scan = NULL;
	free(scan);
}

void
command_unscan(struct client *c)
{
	if (c->scan->state > SCAN_AWAITING)
		show_unit(c);
	c->scan->ended = c->scan->unit <= c->scan->last;
	finish(c, NULL);
}

/* Ends the scan because of what has happened to the bus. */
static void
finish_lost(struct client *c, const char *what)
{
	const struct scan *scan = c->scan;
	char text[ENDPOINT_NAME_MAX + 80];

	if (units_done(scan) == 0)
		snprintf(text, sizeof(text), "%s %s before unit %u answered",
		    scan->bus, what, scan->unit);
	else
		snprintf(text, sizeof(text), "%s %s after unit %u", scan->bus,
		    what, scan->unit - 1);
	finish(c, text);
}

/* What has happened to the bus, see ask_lost(). */
static const char *
scan_lost(const struct client *c)
{
	const struct scan *scan = c->scan;
	const char *lost = ask_lost(c->bridge, scan->bus, scan->up_ns);

	return lost == NULL && !is_modbus_bus(bridge_find(c->bridge, scan->bus))
	    ? "stopped being a Modbus bus"
	    : lost;
}

/* --- steps ---------------------------------------------------------------- */

static int
ask_unit(struct client *c, struct node *node)
{
	struct scan *scan = c->scan;
	const uint8_t inner[] = { (uint8_t)scan->unit, READ_REGISTERS, 0, 0, 0,
		1 };
	uint8_t payload[CONVERT_MAX];
	long len = framing_outer(
	    &node->endpoint->conf->framing, inner, sizeof(inner), payload);
	int r =
	    len < 0 ? (int)len : node_send(node, &c->tap, payload, (size_t)len);

	if (r == 0)
		scan->state = SCAN_AWAITING;
	return r;
}

void
command_scan(struct client *c)
{
	struct scan *scan = c->scan;
	const char *lost = scan_lost(c);
	char text[64];
	int r;

	if (scan->state != SCAN_NEXT &&
	    (lost == NULL || scan->state != SCAN_DROPPED)) {
		show_unit(c);
	} else if (scan->unit > scan->last) {
		finish(c, NULL);
	} else if (lost != NULL) {
		finish_lost(c, lost);
	} else if ((r = ask_unit(c, bridge_find(c->bridge, scan->bus))) < 0) {
		snprintf(text, sizeof(text), "unit %u cannot be asked: %s",
		    scan->unit, strerror(-r));
		finish(c, text);
	}
}

/* "1-247" or "17" */
static int
parse_units(struct call *call, struct scan *scan, const char *word)
{
	const char *dash = strchr(word, '-');
	uint64_t first, last;
	size_t n = strcspn(word, "-");
	char text[8] = "";

	if (n < sizeof(text))
		memcpy(text, word, n);
	if (parse_number(text, 0, MODBUS_UNIT_MAX, &first) < 0 ||
	    parse_number(dash != NULL ? dash + 1 : text, first, MODBUS_UNIT_MAX,
		&last) < 0)
		return call_fail(call, EINVAL,
		    "'%.64s' is not a range of units; two numbers of 0 to %d, "
		    "the lower one first, as in 1-247, or one number",
		    word, MODBUS_UNIT_MAX);
	scan->first = (unsigned)first;
	scan->last = (unsigned)last;
	return 0;
}

/* Checks that the units can be asked. */
static int
check_units(struct call *call, const struct node *node, const struct scan *scan)
{
	const struct endpoint_conf *conf = node->endpoint->conf;

	if (!is_modbus_bus(node))
		return call_fail(call, EINVAL,
		    "%s cannot be scanned: it is not the bus of a route with "
		    "exchange = modbus",
		    conf->name);
	if (scan->first == MODBUS_BROADCAST &&
	    conf->framing.rule->number_size == 0)
		return call_fail(call, EINVAL,
		    "unit 0 is the broadcast unit on %s, and does not answer; "
		    "units are 1 to %d",
		    conf->name, MODBUS_UNIT_MAX);
	return call_can_answer(call, node);
}

int
scan_start(struct call *call)
{
	struct client *c = call->client;
	const struct node *node = call_node(call, call->argv[1]);
	struct scan *scan;
	int r = 0;

	if (node == NULL)
		return -ENOENT;
	if ((scan = calloc(1, sizeof(*scan))) == NULL)
		return call_fail(call, ENOMEM, "out of memory");
	scan->first = FIRST_UNIT;
	scan->last = MODBUS_SERIAL_UNIT_MAX;
	if (call->argc > 2)
		r = parse_units(call, scan, call->argv[2]);
	if (r < 0 || (r = check_units(call, node, scan)) < 0) {
		free(scan);
		return r;
	}
	snprintf(
	    scan->bus, sizeof(scan->bus), "%s", node->endpoint->conf->name);
	scan->up_ns = node->endpoint->since_ns;
	scan->unit = scan->first;
	scan->json = call->json;
	if (scan->json)
		evbuffer_add_printf(
		    c->reply, "{\"bus\":\"%s\",\"units\":[", scan->bus);
	c->scan = scan;
	client_tap(c, on_frame, on_unanswered);
	return CALL_OPEN;
}
