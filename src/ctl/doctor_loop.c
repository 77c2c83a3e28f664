/*
 * doctor_loop: frames that come back.
 *
 * Some loops are visible in the configuration: two endpoints are the same device, or the
 * daemon is connected to itself.  Others are made of cables and other programs, and only
 * visible in the frames that pass within a second:
 *
 * - What came from elsewhere and was sent to one endpoint is received from it, or from
 *   another one, next.
 * - A few frames are received from an endpoint again and again, always in the same order;
 *   or one frame is, more often than the line can carry.  A device that sends the same
 *   values again and again does neither.
 */
#include <sys/stat.h>

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "doctor_check.h"

/* Different frames that came back. */
#define RETURNED_MIN 3
/* Frames from an endpoint, and how often each of them came on average. */
#define REPEATED_MIN 20
#define REPEATED_OFTEN 4
#define BITS_PER_BYTE 10

/* --- the same device -------------------------------------------------------- */

/* A serial device, or the pseudo-terminal that an endpoint makes. */
struct terminal {
	const char *name;
	dev_t device;
};

static size_t
find_terminals(const struct doctor *d, struct terminal *all)
{
	const struct facts *f = &d->facts;
	char path[PATH_MAX];
	const json_t *each;
	struct stat st;
	size_t i, n = 0;

	json_array_foreach(f->endpoints, i, each)
	{
		const char *name = member_text(each, "name");

		if (fact_is(f, name, "type", "pty"))
			fact_text(f, name, "link", path, sizeof(path));
		else if (!doctor_device(d, name, path, sizeof(path)))
			continue;
		if (stat(path, &st) == 0 && S_ISCHR(st.st_mode))
			all[n++] = (struct terminal){ name, st.st_rdev };
	}
	return n;
}

static int
by_device(const void *a, const void *b)
{
	const struct terminal *x = a, *y = b;

	return x->device < y->device ? -1 : x->device > y->device;
}

static void
found_pair(struct doctor *d, const char *a, const char *b, const char *what)
{
	char where[DOCTOR_TEXT_MAX], remedy[DOCTOR_TEXT_MAX],
	    other[DOCTOR_TEXT_MAX];

	fact_where(&d->facts, a, where, sizeof(where));
	fact_where(&d->facts, b, other, sizeof(other));
	append(where, sizeof(where), " and %s", other);
	if (*d->facts.path != '\0')
		format_text(remedy, sizeof(remedy),
		    "sudoedit %s   # remove one", d->facts.path);
	else
		format_text(
		    remedy, sizeof(remedy), "%s pause %s", d->facts.command, b);
	report_finding(
	    &d->report, b, where, remedy, "%s and %s %s", a, b, what);
}

static void
check_same_device(struct doctor *d)
{
	size_t n = json_array_size(d->facts.endpoints);
	struct terminal *all = calloc(n + 1, sizeof(*all));

	if (all == NULL)
		return;
	n = find_terminals(d, all);
	qsort(all, n, sizeof(*all), by_device);
	for (size_t i = 1; i < n; i++)
		if (all[i].device == all[i - 1].device)
			found_pair(d, all[i - 1].name, all[i].name,
			    "are the same device");
	free(all);
}

/* --- connected to itself ---------------------------------------------------- */

/* The port of an address on this machine, NULL: it is on another one. */
static const char *
local_port(const char *address)
{
	static const char *const hosts[] = { "127.",
		"localhost:", "[::1]:", "*:", "0.0.0.0:", "[::]:" };
	const char *colon = strrchr(address, ':');

	if (colon == NULL)
		return *address != '\0' ? address : NULL;
	for (size_t i = 0; i < NELEM(hosts); i++)
		if (strncmp(address, hosts[i], strlen(hosts[i])) == 0)
			return colon + 1;
	return NULL;
}

static void
check_connect(struct doctor *d, const char *client, const char *address)
{
	const struct facts *f = &d->facts;
	const char *port = local_port(address), *other;
	char listen[256];
	const json_t *each;
	size_t i;

	json_array_foreach(f->endpoints, i, each)
	{
		const char *server = member_text(each, "name");

		if (!fact_is(f, server, "type", "tcp-server"))
			continue;
		fact_text(f, server, "listen", listen, sizeof(listen));
		other = local_port(listen);
		if (port != NULL && other != NULL && strcmp(port, other) == 0)
			found_pair(d, client, server,
			    "are connected to each other: the daemon is"
			    " connected to itself");
	}
}

static void
check_clients(struct doctor *d)
{
	const json_t *each;
	char address[256];
	size_t i;

	json_array_foreach(d->facts.endpoints, i, each)
	{
		const char *name = member_text(each, "name");

		if (!fact_is(&d->facts, name, "type", "tcp-client"))
			continue;
		fact_text(&d->facts, name, "connect", address, sizeof(address));
		check_connect(d, name, address);
	}
}

/* --- frames that return ----------------------------------------------------- */

/* A frame as it passed. */
struct passed {
	const char *hex;
	char from[64], to[64];
	bool sent;
};

/* Peers of a server are those of the endpoint: "lan#3". */
static bool
read_frame(const json_t *frame, struct passed *p)
{
	p->hex = json_string_value(json_object_get(frame, "hex"));
	snprintf(p->from, sizeof(p->from), "%.60s", member_text(frame, "from"));
	snprintf(p->to, sizeof(p->to), "%.60s", member_text(frame, "to"));
	p->from[strcspn(p->from, "#")] = '\0';
	p->to[strcspn(p->to, "#,")] = '\0';
	p->sent = strncmp(member_text(frame, "outcome"), "sent", 4) == 0 ||
	    strncmp(member_text(frame, "outcome"), "queued", 6) == 0;
	return p->hex != NULL && strlen(p->hex) >= 4;
}

static json_t *
submember(json_t *object, const char *name)
{
	json_t *found = json_object_get(object, name);

	if (found == NULL) {
		found = json_object();
		json_object_set_new(object, name, found);
	}
	return found;
}

static void
count_up(json_t *object, const char *name)
{
	json_object_set_new(object, name,
	    json_integer(
		json_integer_value(json_object_get(object, name)) + 1));
}

/* Whether frames that return are normal: an echo, or answers that repeat the request. */
static bool
may_return(const struct facts *f, const char *endpoint)
{
	char framing[32];

	fact_text(f, endpoint, "framing", framing, sizeof(framing));
	return fact_is(f, endpoint, "type", "echo") ||
	    strncmp(framing, "modbus", 6) == 0;
}

/* Whether a route has an exchange, or expects copies that come by several ways. */
static bool
has_exchange(const struct facts *f)
{
	const json_t *each;
	char object[80], exchange[32], duplicates[32];
	size_t i;

	json_array_foreach(f->routes, i, each)
	{
		snprintf(object, sizeof(object), "routes/%s",
		    member_text(each, "name"));
		fact_text(f, object, "exchange", exchange, sizeof(exchange));
		fact_text(
		    f, object, "duplicates", duplicates, sizeof(duplicates));
		if (*duplicates != '\0' ||
		    (*exchange != '\0' && strcmp(exchange, "none") != 0))
			return true;
	}
	return false;
}

/*
 * For each pair "A B": the different frames that were sent to A and then received from B,
 * where they had not come from.  sent: how many were sent to A.
 */
static void
find_returns(const struct facts *f, json_t *pairs, json_t *sent)
{
	json_t *to = json_object(), *origin = json_object(), *frame;
	char pair[160];
	const char *name;
	struct passed p;
	json_t *unused;
	size_t i;

	json_array_foreach(f->frames, i, frame)
	{
		if (!read_frame(frame, &p))
			continue;
		if (json_object_get(origin, p.hex) == NULL)
			json_object_set_new(origin, p.hex, json_string(p.from));
		json_object_foreach(json_object_get(to, p.hex), name, unused)
		{
			if (strcmp(member_text(origin, p.hex), p.from) == 0)
				break;
			snprintf(pair, sizeof(pair), "%s %s", name, p.from);
			count_up(submember(pairs, pair), p.hex);
		}
		if (p.sent && *p.to != '\0') {
			count_up(submember(to, p.hex), p.to);
			count_up(submember(sent, p.to), p.hex);
		}
	}
	json_decref(to);
	json_decref(origin);
}

static void
found_return(struct doctor *d, const char *a, const char *b, size_t n)
{
	char where[DOCTOR_TEXT_MAX], remedy[DOCTOR_TEXT_MAX];

	fact_where(&d->facts, a, where, sizeof(where));
	if (strcmp(a, b) == 0) {
		format_text(remedy, sizeof(remedy),
		    "sudoedit %s   # echo = yes in [%s], if the adapter echoes",
		    *d->facts.path != '\0' ? d->facts.path : "FILE", a);
		report_finding(&d->report, a, where, remedy,
		    "%s: what is sent to it comes back from it: %zu different"
		    " frames in %.1fs",
		    a, n, d->facts.watched);
		return;
	}
	format_text(remedy, sizeof(remedy), "%s pause %s", d->facts.command, b);
	report_finding(&d->report, b, where, remedy,
	    "%s and %s are in a loop: what is sent to %s comes back from %s:"
	    " %zu different frames in %.1fs",
	    a, b, a, b, n, d->facts.watched);
}

static void
check_returns(struct doctor *d)
{
	json_t *pairs = json_object(), *sent = json_object(), *frames;
	char a[80], b[80];
	const char *pair;
	size_t n;

	find_returns(&d->facts, pairs, sent);
	json_object_foreach(pairs, pair, frames)
	{
		if (sscanf(pair, "%79s %79s", a, b) != 2 ||
		    may_return(&d->facts, a) || may_return(&d->facts, b))
			continue;
		n = json_object_size(frames);
		if (n >= RETURNED_MIN &&
		    n * 2 > json_object_size(json_object_get(sent, a)))
			found_return(d, a, b, n);
	}
	json_decref(pairs);
	json_decref(sent);
}

/* --- frames that circulate -------------------------------------------------- */

/* The frames that came from an endpoint. */
struct stream {
	const char *name;
	char to[64];  /* where it went last */
	json_t *next; /* of each frame: the one that came after it */
	const char *last;
	unsigned frames;
	unsigned follows; /* those that came after the same frame as before */
	double bytes;
};

static void
take_frame(struct stream *s, const struct passed *p)
{
	const char *next = s->last == NULL
	    ? NULL
	    : json_string_value(json_object_get(s->next, s->last));

	s->frames++;
	s->bytes += (double)strlen(p->hex) / 2;
	s->follows += next != NULL && strcmp(next, p->hex) == 0;
	if (s->last != NULL)
		json_object_set_new(s->next, s->last, json_string(p->hex));
	s->last = p->hex;
	snprintf(s->to, sizeof(s->to), "%s", p->to);
}

static void
found_circle(struct doctor *d, const struct stream *s, bool sure)
{
	const struct facts *f = &d->facts;
	size_t different = MAX(json_object_size(s->next), (size_t)1);
	char where[DOCTOR_TEXT_MAX], remedy[DOCTOR_TEXT_MAX];

	fact_where(f, s->name, where, sizeof(where));
	format_text(remedy, sizeof(remedy),
	    "%s pause %s   # the loop is cut if they come no more", f->command,
	    s->to);
	if (sure)
		report_finding(&d->report, s->name, where, remedy,
		    "%s and %s are in a loop: what is sent to %s comes from %s"
		    " again: %zu frame%s, %u times in %.1fs",
		    s->name, s->to, s->to, s->name, different,
		    different == 1 ? "" : "s", s->frames, f->watched);
	else
		report_hint(&d->report, s->name, where, remedy,
		    "%s: the same %zu frame%s came %u times in %.1fs: if the"
		    " device does not send that, it is in a loop with %s",
		    s->name, different, different == 1 ? "" : "s", s->frames,
		    f->watched, s->to);
}

/* More than a serial line carries in the time. */
static bool
exceeds_line(const struct facts *f, const struct stream *s)
{
	double baud = fact_number(f, s->name, "baud");

	return baud > 0 && s->bytes * BITS_PER_BYTE > baud * f->watched;
}

static void
judge_stream(struct doctor *d, const struct stream *s)
{
	size_t different = json_object_size(s->next);
	bool ordered = s->follows * 10 >= s->frames * 8;

	if (s->frames < REPEATED_MIN || s->to[0] == '\0' || !ordered ||
	    s->frames < REPEATED_OFTEN * different || strcmp(s->to, "-") == 0)
		return;
	found_circle(
	    d, s, different >= RETURNED_MIN || exceeds_line(&d->facts, s));
}

static void
check_stream(struct doctor *d, const char *name)
{
	struct stream s = { .name = name, .next = json_object() };
	const json_t *frame;
	struct passed p;
	size_t i;

	json_array_foreach(d->facts.frames, i, frame)
	{
		if (read_frame(frame, &p) && strcmp(p.from, name) == 0)
			take_frame(&s, &p);
	}
	judge_stream(d, &s);
	json_decref(s.next);
}

static void
check_circles(struct doctor *d)
{
	const struct facts *f = &d->facts;
	const json_t *each;
	size_t i;

	json_array_foreach(f->endpoints, i, each)
	{
		const char *name = member_text(each, "name");

		if (!may_return(f, name) && fact_rise(f, name, "rx_frames") > 0)
			check_stream(d, name);
	}
}

void
check_loop(struct doctor *d)
{
	check_same_device(d);
	check_clients(d);
	if (!d->facts.running)
		return;
	if (*d->facts.unwatched != '\0')
		report_not_checked(&d->report,
		    "a second session at the control port: %s",
		    d->facts.unwatched);
	/* While nothing is up, nothing passes. */
	if (d->facts.frames == NULL || has_exchange(&d->facts))
		return;
	check_returns(d);
	check_circles(d);
}
