/*
 * doctor_bad: input that is no frames, or not those that are meant.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "doctor_check.h"

/* Fewer are not looked at. */
#define BAD_MIN 10
#define BAD_RISE_MIN 3
#define GARBAGE_MIN 3
/* Of so many frames the daemon knows how many were bad ("recent_errors"). */
#define RECENT_FRAMES 32.0
/* So many bytes, in so many seconds, without a frame; longer frames may take longer. */
#define FRAMELESS_BYTES 64
#define FRAMELESS_SECONDS 5
#define FRAMELESS_MAX 8192

/* "checksum 100, noise 20" */
static void
list_reasons(const struct facts *f, const char *name, char *buf, size_t size)
{
	static const char *const reasons[] = { "noise", "oversize", "checksum",
		"malformed", "timeout" };
	char attribute[32];
	double n;

	buf[0] = '\0';
	for (size_t i = 0; i < NELEM(reasons); i++) {
		snprintf(attribute, sizeof(attribute), "bad_%s", reasons[i]);
		if ((n = fact_number(f, name, attribute)) > 0)
			append(buf, size, "%s%s %.0f", *buf != '\0' ? ", " : "",
			    reasons[i], n);
	}
}

/* A command that tries another speed or, without one, shows what is received. */
static void
try_command(const struct doctor *d, const char *name, char *buf, size_t size)
{
	const struct facts *f = &d->facts;
	char baud[32], comment[128];

	fact_text(f, name, "baud", baud, sizeof(baud));
	if (*baud == '\0') {
		format_text(buf, size, "%s watch -x -b %s", f->command, name);
		return;
	}
	format_text(comment, sizeof(comment),
	    "or another speed; watch -x -b %s shows what comes", name);
	doctor_set(d, name, "baud",
	    strcmp(baud, "115200") == 0 ? "9600" : "115200", comment, buf,
	    size);
}

/* "the speed 9600 or framing = line" */
static void
what_is_wrong(const struct facts *f, const char *name, char *buf, size_t size)
{
	char framing[32], baud[32];

	fact_text(f, name, "framing", framing, sizeof(framing));
	fact_text(f, name, "baud", baud, sizeof(baud));
	if (*baud != '\0')
		format_text(
		    buf, size, "the speed %s or framing = %s", baud, framing);
	else
		format_text(buf, size, "framing = %s", framing);
}

/* "; more come now", or when the last one came. */
static void
when_bad(const struct facts *f, const char *name, char *buf, size_t size)
{
	char ago[24];

	if (fact_rise(f, name, "errors") > 0)
		format_text(buf, size, "; more come now");
	else
		format_text(buf, size, "; the last one came %s ago",
		    format_time(
			whole_part(fact_number(f, name, "last_error") * 1e9),
			ago, sizeof(ago)));
}

/* They have all that makes a frame, and a checksum that is not theirs. */
static bool
is_only_checksums(const struct facts *f, const char *name)
{
	return fact_is(f, name, "framing", "nmea") &&
	    fact_number(f, name, "bad_checksum") * 10 >=
	    fact_number(f, name, "errors") * 9;
}

static void
found_bad(struct doctor *d, const char *name)
{
	const struct facts *f = &d->facts;
	char where[DOCTOR_TEXT_MAX], remedy[DOCTOR_TEXT_MAX];
	char reasons[128], wrong[160], when[64];

	fact_where(f, name, where, sizeof(where));
	list_reasons(f, name, reasons, sizeof(reasons));
	when_bad(f, name, when, sizeof(when));
	if (is_only_checksums(f, name)) {
		format_text(wrong, sizeof(wrong),
		    "the speed is right, and the device sends sentences"
		    " without a checksum or with a wrong one");
		format_text(remedy, sizeof(remedy),
		    "%s watch -x -b %s   # without one: nmea_checksum = keep"
		    " or add; a wrong one is never taken",
		    f->command, name);
	} else {
		what_is_wrong(f, name, wrong, sizeof(wrong));
		append(wrong, sizeof(wrong), " is not that of the device");
		try_command(d, name, remedy, sizeof(remedy));
	}
	report_finding(&d->report, name, where, remedy,
	    "%s: %.0f bad frames (%s) and %.0f good ones, and of the last ones"
	    " most were bad%s: %s",
	    name, fact_number(f, name, "errors"), reasons,
	    fact_number(f, name, "rx_frames"), when, wrong);
}

/* All that has come is the beginning of a line. */
static void
found_no_newline(struct doctor *d, const char *name)
{
	const struct facts *f = &d->facts;
	char where[DOCTOR_TEXT_MAX], remedy[DOCTOR_TEXT_MAX];

	fact_where(f, name, where, sizeof(where));
	try_command(d, name, remedy, sizeof(remedy));
	report_finding(&d->report, name, where, remedy,
	    "%s: there is no newline among %.0f bytes: is it framing ="
	    " delimiter, idle or raw, or has the device another speed?",
	    name, fact_number(f, name, "rx_held"));
}

static void
found_frameless(struct doctor *d, const char *name)
{
	const struct facts *f = &d->facts;
	char where[DOCTOR_TEXT_MAX], remedy[DOCTOR_TEXT_MAX];
	char wrong[80];

	if (fact_is(f, name, "framing", "line") &&
	    fact_number(f, name, "rx_held") > 0) {
		found_no_newline(d, name);
		return;
	}
	fact_where(f, name, where, sizeof(where));
	what_is_wrong(f, name, wrong, sizeof(wrong));
	try_command(d, name, remedy, sizeof(remedy));
	report_finding(&d->report, name, where, remedy,
	    "%s: %.0f bytes have been received, and no frame: %s is not that"
	    " of the device",
	    name, fact_number(f, name, "rx_bytes"), wrong);
}

/* What has come cannot be the beginning of a first frame. */
static bool
is_frameless(const struct facts *f, const char *name)
{
	char text[32];
	uint64_t longest;

	fact_text(f, name, "max_frame", text, sizeof(text));
	return fact_up(f, name) &&
	    (fact_is(f, name, "type", "serial") ||
		fact_is(f, name, "type", "tcp-client") ||
		fact_is(f, name, "type", "unix-client")) &&
	    fact_number(f, name, "rx_frames") == 0 &&
	    fact_number(f, name, "rx_bytes") >= FRAMELESS_BYTES &&
	    fact_number(f, name, "up") >= FRAMELESS_SECONDS &&
	    parse_size(text, &longest) == 0 && longest <= FRAMELESS_MAX;
}

static void
found_line_errors(struct doctor *d, const char *name, double errors)
{
	const struct facts *f = &d->facts;
	char where[DOCTOR_TEXT_MAX], remedy[DOCTOR_TEXT_MAX];
	char baud[32], mode[32];

	fact_where(f, name, where, sizeof(where));
	fact_text(f, name, "baud", baud, sizeof(baud));
	fact_text(f, name, "mode", mode, sizeof(mode));
	try_command(d, name, remedy, sizeof(remedy));
	report_finding(&d->report, name, where, remedy,
	    "%s: the driver has counted %.0f characters with a wrong stop bit"
	    " or parity in %.1fs: the speed %s or the mode %s is not that of"
	    " the device",
	    name, errors, f->seconds, baud, mode);
}

/*
 * Whether most of what has come lately was bad, however much was good before, or is now
 * good.
 */
static bool
is_bad_lately(const struct facts *f, const char *name)
{
	double bad = fact_number(f, name, "errors"),
	       rise = fact_rise(f, name, "errors"),
	       recent = fact_number(f, name, "recent_errors"),
	       all = bad + fact_number(f, name, "rx_frames");

	return (recent >= BAD_MIN && recent * 2 >= MIN(all, RECENT_FRAMES)) ||
	    (rise >= BAD_RISE_MIN && rise > fact_rise(f, name, "rx_frames"));
}

static bool
is_control(unsigned char c)
{
	return c < ' ' && strchr("\t\r\n\b\a\f\033", c) == NULL;
}

/* Whether a line is no text: a quarter of its characters is not of ASCII. */
static bool
is_garbage(const char *hex)
{
	size_t len = MIN(strlen(hex) / 2, (size_t)512), high = 0, control = 0;
	char bytes[512];
	json_t *utf8;

	for (size_t i = 0; i < len; i++) {
		char pair[3] = { hex[2 * i], hex[2 * i + 1], '\0' };
		unsigned char c = (unsigned char)strtoul(pair, NULL, 16);

		bytes[i] = (char)c;
		high += c >= 0x7f;
		control += c == '\0' || is_control(c);
	}
	if (len == 0 || (high + control) * 4 < len)
		return false;
	if (control > 0 || len == sizeof(bytes))
		return true;
	/* jansson refuses what is no UTF-8: that is text of other alphabets. */
	if ((utf8 = json_stringn(bytes, len)) == NULL)
		return true;
	json_decref(utf8);
	return false;
}

/* At a wrong speed a newline comes by chance, and so do lines. */
static void
check_garbage(struct doctor *d, const char *name)
{
	const struct facts *f = &d->facts;
	char where[DOCTOR_TEXT_MAX], remedy[DOCTOR_TEXT_MAX];
	unsigned n = 0, garbage = 0;
	const json_t *frame;
	size_t i;

	if (!fact_is(f, name, "framing", "line"))
		return;
	json_array_foreach(f->frames, i, frame)
	{
		if (strcmp(member_text(frame, "from"), name) != 0)
			continue;
		n++;
		garbage += is_garbage(member_text(frame, "hex"));
	}
	if (garbage < GARBAGE_MIN || garbage * 4 < n)
		return;
	fact_where(f, name, where, sizeof(where));
	try_command(d, name, remedy, sizeof(remedy));
	report_hint(&d->report, name, where, remedy,
	    "%s: %u of %u lines in %.1fs are no text: is the speed that of the"
	    " device?",
	    name, garbage, n, f->watched);
}

static void
check_bad(struct doctor *d, const char *name)
{
	const struct facts *f = &d->facts;
	double line = fact_rise(f, name, "line_frame") +
	    fact_rise(f, name, "line_parity");

	if (line >= BAD_RISE_MIN && line * 20 >= fact_rise(f, name, "rx_bytes"))
		found_line_errors(d, name, line);
	else if (is_frameless(f, name))
		found_frameless(d, name);
	else if (is_bad_lately(f, name) || fact_warns(f, name, "discarded"))
		found_bad(d, name);
	else
		check_garbage(d, name);
}

void
check_bad_frames(struct doctor *d)
{
	const json_t *each;
	size_t i;

	json_array_foreach(d->facts.endpoints, i, each)
	{
		check_bad(d, member_text(each, "name"));
	}
	if (json_array_size(d->facts.endpoints) > FACTS_LIST_TWICE &&
	    facts_any_endpoint(&d->facts, "type", "serial"))
		report_not_checked(&d->report,
		    "the counters of the drivers, for more than %d endpoints",
		    FACTS_LIST_TWICE);
}
