/*
 * doctor_traffic: what the daemon counts, at two moments a second apart.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "doctor_check.h"

/* Fewer are not looked at. */
#define REJECTED_MIN 10
/* The driver of a serial port may report room only when its buffer is nearly empty. */
#define DRIVER_BYTES 4096
#define STUCK_SECONDS 10
/* A device may be silent for that long before it says anything. */
#define SILENT_SECONDS 30
#define BITS_PER_BYTE 10

static void
each_endpoint(struct doctor *d, void (*check)(struct doctor *, const char *))
{
	const json_t *each;
	size_t i;

	json_array_foreach(d->facts.endpoints, i, each)
	{
		check(d, member_text(each, "name"));
	}
}

/* --- nothing received ------------------------------------------------------- */

static void
found_silence(struct doctor *d, const char *name)
{
	const struct facts *f = &d->facts;
	char where[DOCTOR_TEXT_MAX], remedy[DOCTOR_TEXT_MAX], up[24],
	    framing[32];
	double bytes = fact_number(f, name, "rx_bytes");

	fact_where(f, name, where, sizeof(where));
	fact_text(f, name, "framing", framing, sizeof(framing));
	format_time(
	    whole_part(fact_number(f, name, "up") * 1e9), up, sizeof(up));
	format_text(
	    remedy, sizeof(remedy), "%s watch -x -b %s", f->command, name);
	if (bytes == 0)
		report_finding(&d->report, name, where, remedy,
		    "%s: nothing has ever been received since it was opened"
		    " %s ago: is the cable in, is RX on the TX of the device,"
		    " is it on?",
		    name, up);
	else
		report_finding(&d->report, name, where, remedy,
		    "%s: %.0f bytes have been received, and no frame: framing"
		    " = %s is not that of the device",
		    name, bytes, framing);
}

/* Whether a route leads from it: nothing is read otherwise. */
static bool
is_source(const struct facts *f, const char *name)
{
	const json_t *each;
	size_t i, len;

	json_array_foreach(f->routes, i, each)
	{
		const char *list = member_text(each, "from"), *word;

		while ((word = list_word(&list, &len)) != NULL)
			if ((len == 1 && *word == '*') ||
			    (len == strlen(name) &&
				strncmp(word, name, len) == 0))
				return true;
	}
	return false;
}

static void
check_silent(struct doctor *d, const char *name)
{
	const struct facts *f = &d->facts;

	if (report_has(&d->report, "bad-frames", name))
		return;
	if (fact_warns(f, name, "silent") ||
	    (fact_is(f, name, "type", "serial") && fact_up(f, name) &&
		!fact_is(f, name, "silence_warning", "none") &&
		!fact_is(f, name, "paused", "yes") &&
		fact_number(f, name, "up") >= SILENT_SECONDS &&
		fact_number(f, name, "rx_bytes") == 0 && is_source(f, name)))
		found_silence(d, name);
}

void
check_silence(struct doctor *d)
{
	each_endpoint(d, check_silent);
}

/* --- nothing accepted ------------------------------------------------------- */

/* For how many seconds the task that writes to it has not run; 0 if there is none. */
static double
write_idle(const struct facts *f, const char *name)
{
	const json_t *each;
	char task[80];
	size_t i;

	snprintf(task, sizeof(task), "%s.write", name);
	json_array_foreach(f->tasks, i, each)
	{
		if (strcmp(member_text(each, "task"), task) == 0 &&
		    strcmp(member_text(each, "state"), "waiting") == 0)
			return member_number(each, "idle");
	}
	return 0;
}

/* How long a receiver that works may make no progress, as far as that can be seen. */
static double
patience(const struct facts *f, const char *name)
{
	double baud = fact_number(f, name, "baud");

	return STUCK_SECONDS +
	    (baud > 0 ? DRIVER_BYTES * BITS_PER_BYTE / baud : 0);
}

static bool
has_output(const struct facts *f, const char *name)
{
	return fact_up(f, name) && fact_number(f, name, "queued_bytes") > 0 &&
	    fact_rise(f, name, "tx_bytes") == 0 &&
	    !fact_is(f, name, "paused", "yes");
}

/* It was so at both moments. */
static bool
has_cts_off(const struct facts *f, const char *name)
{
	char path[80];

	snprintf(path, sizeof(path), "%s/line_cts", name);
	return fact_is(f, name, "flow", "rtscts") &&
	    fact_is(f, name, "line_cts", "off") &&
	    strcmp(member_text(f->before, path), "off") == 0;
}

static void
found_stuck(struct doctor *d, const char *name, const char *who, double queued,
    double seconds)
{
	char where[DOCTOR_TEXT_MAX], remedy[DOCTOR_TEXT_MAX], time[24],
	    size[16];

	fact_where(&d->facts, name, where, sizeof(where));
	format_text(
	    remedy, sizeof(remedy), "%s where %s.write", d->facts.command, who);
	report_finding(&d->report, who, where, remedy,
	    "%s: %s of output wait, and the receiver has taken nothing for %s",
	    who, format_size(whole_part(queued), size, sizeof(size)),
	    format_time(whole_part(seconds * 1e9), time, sizeof(time)));
}

static void
check_output(struct doctor *d, const char *name)
{
	const struct facts *f = &d->facts;
	double idle;

	if (has_output(f, name) && !has_cts_off(f, name) &&
	    fact_is(f, name, "frame_gap", "none") &&
	    (idle = write_idle(f, name)) >= patience(f, name))
		found_stuck(
		    d, name, name, fact_number(f, name, "queued_bytes"), idle);
}

/* The clients of a server, each of which has a queue. */
static void
check_peers(struct doctor *d)
{
	const json_t *each;
	size_t i;

	json_array_foreach(d->facts.peers, i, each)
	{
		const char *peer = member_text(each, "name");
		double idle;

		if (member_number(each, "queued") > 0 &&
		    (idle = write_idle(&d->facts, peer)) >= STUCK_SECONDS)
			found_stuck(d, member_text(each, "endpoint"), peer,
			    member_number(each, "queued"), idle);
	}
}

void
check_stuck(struct doctor *d)
{
	each_endpoint(d, check_output);
	check_peers(d);
}

static void
check_cts_of(struct doctor *d, const char *name)
{
	const struct facts *f = &d->facts;
	char where[DOCTOR_TEXT_MAX], remedy[DOCTOR_TEXT_MAX];

	/* Without output it does not matter, and may be as it should be. */
	if (!fact_up(f, name) || !has_cts_off(f, name) ||
	    fact_number(f, name, "queued_bytes") +
		    fact_number(f, name, "tx_bytes") ==
		0 ||
	    fact_rise(f, name, "tx_bytes") > 0)
		return;
	fact_where(f, name, where, sizeof(where));
	doctor_set(d, name, "flow", "none",
	    "if the cable has no CTS; otherwise check its wiring", remedy,
	    sizeof(remedy));
	report_finding(&d->report, name, where, remedy,
	    "%s: flow = rtscts, and CTS is off, so that nothing is sent (%.0f"
	    " bytes wait)",
	    name, fact_number(f, name, "queued_bytes"));
}

void
check_cts(struct doctor *d)
{
	each_endpoint(d, check_cts_of);
}

/* --- what was dropped ------------------------------------------------------- */

static const struct {
	const char *reason, *text, *command;
	bool named; /* the command has the name of the endpoint */
} losses[] = {
	{ "overflow", "its queue was full", "ps", true },
	{ "stalled", "it took nothing for stall_timeout", "ps", true },
	{ "down", "it was down, and its queue full", "ended", false },
	{ "memory", "there was no memory", "get daemon/memory", false },
};

static void
found_drops(struct doctor *d, const char *name, size_t i, bool now)
{
	const struct facts *f = &d->facts;
	char attribute[48], where[DOCTOR_TEXT_MAX], remedy[DOCTOR_TEXT_MAX];
	char queue[32], command[64];
	double n, offered = fact_number(f, name, "offered");

	format_text(
	    attribute, sizeof(attribute), "dropped_%s", losses[i].reason);
	n = fact_number(f, name, attribute);
	fact_where(f, name, where, sizeof(where));
	fact_text(f, name, "queue", queue, sizeof(queue));
	format_text(command, sizeof(command), "%s %s", losses[i].command,
	    losses[i].named ? name : "");
	format_text(remedy, sizeof(remedy),
	    "%s %s   # then a larger queue, a spool, a faster line or less"
	    " traffic",
	    f->command, command);
	/* What happened once, long ago, cannot be made undone. */
	if (now || n * 100 >= offered)
		report_finding(&d->report, name, where, remedy,
		    "%s: %.0f of %.0f frames for it were dropped (%s), because"
		    " %s; queue = %s%s",
		    name, n, offered, losses[i].reason, losses[i].text, queue,
		    now ? "; more right now" : "");
	else
		report_hint(&d->report, name, where, remedy,
		    "%s: %.0f of %.0f frames for it were dropped (%s), because"
		    " %s",
		    name, n, offered, losses[i].reason, losses[i].text);
}

static void
check_dropped(struct doctor *d, const char *name)
{
	char attribute[48];

	for (size_t i = 0; i < NELEM(losses); i++) {
		format_text(attribute, sizeof(attribute), "dropped_%s",
		    losses[i].reason);
		if (fact_number(&d->facts, name, attribute) > 0)
			found_drops(d, name, i,
			    d->facts.seconds > 0 &&
				fact_rise(&d->facts, name, "dropped") > 0);
	}
}

void
check_drops(struct doctor *d)
{
	each_endpoint(d, check_dropped);
}

/* --- filters ---------------------------------------------------------------- */

static void
found_filter(struct doctor *d, const char *name, double rejected)
{
	static const char *const keys[] = { "match", "reject", "match_hex",
		"match_nmea", "match_mavlink", "match_unit", "match_function",
		"functions" };
	const struct facts *f = &d->facts;
	char where[DOCTOR_TEXT_MAX], remedy[DOCTOR_TEXT_MAX], object[80],
	    value[256];
	char filters[512] = "", sources[128];

	snprintf(object, sizeof(object), "routes/%s", name);
	for (size_t i = 0; i < NELEM(keys); i++)
		if (*fact_text(f, object, keys[i], value, sizeof(value)) !=
			'\0' &&
		    strcmp(value, "all") != 0)
			append(filters, sizeof(filters), "%s%s = %s",
			    *filters != '\0' ? ", " : "", keys[i], value);
	if (*filters == '\0')
		return;
	fact_text(f, object, "from", sources, sizeof(sources));
	if (*sources == '\0')
		fact_text(f, object, "between", sources, sizeof(sources));
	for (char *c = sources; *c != '\0'; c++)
		*c = *c == ',' ? ' ' : *c;
	fact_where(f, name, where, sizeof(where));
	format_text(remedy, sizeof(remedy), "%s watch %s", f->command, sources);
	report_finding(&d->report, name, where, remedy,
	    "route %s: its filter (%s) has rejected all %.0f frames", name,
	    filters, rejected);
}

void
check_filters(struct doctor *d)
{
	const json_t *each;
	size_t i;

	json_array_foreach(d->facts.routes, i, each)
	{
		double rejected = member_number(each, "rejected");

		if (member_number(each, "frames") == 0 &&
		    rejected >= REJECTED_MIN)
			found_filter(d, member_text(each, "name"), rejected);
	}
}
