/* route: who is reached from where, and what the filters let pass. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "routes_change.h"

static unsigned refused; /* set by route_verdict() */

static const char *const abcd[] = { "a", "b", "c", "d" };

/* A section as "key=value@key=value". */
static struct route_conf *
section(const char *name, const char *text)
{
	struct route_conf *conf = calloc(1, sizeof(*conf));
	struct error err;
	char *copy = strdup(text), *save, *pair;

	assert_non_null(conf);
	conf->name = strdup(name);
	conf->text = strdup(text);
	for (pair = strtok_r(copy, "@", &save); pair != NULL;
	     pair = strtok_r(NULL, "@", &save)) {
		char *value = strchr(pair, '=');

		*value++ = '\0';
		if (key_parse(key_find(route_keys, pair), conf, value, &err) !=
		    0)
			fail_msg("%s=%s: %s", pair, value, err.text);
	}
	free(copy);
	return conf;
}

/* A table of those sections, called r0, r1, ...; NULL at the end. */
static struct routes *
table(const char *const *sections, const enum route_end *ends)
{
	struct route_conf *confs[16];
	struct routes *routes = NULL;
	unsigned n = 0, bad;
	struct error err;
	char name[16];

	for (; sections[n] != NULL; n++) {
		snprintf(name, sizeof(name), "r%u", n);
		confs[n] = section(name, sections[n]);
	}
	if (routes_new(confs, n, abcd, ends, 4, &routes, &bad, &err) != 0)
		fail_msg("%s", err.text);
	return routes;
}

/* ret_place: for each old route, the place of the one that goes on with its number. */
static void
take_over(struct routes *to, struct routes *from, const unsigned *was,
    unsigned *ret_place)
{
	struct routes_change *change;

	assert_int_equal(routes_find_rated(to), 0);
	assert_int_equal(routes_change_new(to, from, &change), 0);
	routes_change_use(change, was, NSEC_PER_SEC);
	for (unsigned i = 0; i < from->nroutes; i++) {
		unsigned number = from->route[i]->number;

		ret_place[i] = ROUTE_NONE;
		assert_int_equal(change->number[number] == ROUTE_NONE,
		    routes_at(to, number) == NULL);
		for (unsigned j = 0; j < to->nroutes; j++)
			if (to->route[j]->number == number)
				ret_place[i] = j;
	}
	for (unsigned i = 0; i < to->nroutes; i++)
		assert_ptr_equal(
		    routes_at(to, to->route[i]->number), to->route[i]);
	routes_change_free(change);
}

/* One that takes the place of another, with the same endpoints. */
static struct routes *
successor(const char *const *sections, struct routes *from, unsigned *number)
{
	static const unsigned same[] = { 0, 1, 2, 3 };
	struct routes *to = table(sections, NULL);
	unsigned ignored[16];

	take_over(to, from, same, number != NULL ? number : ignored);
	return to;
}

/* "b:r0 c:r0,r1": the targets of a source and the routes that lead there. */
static const char *
reach(const struct routes *r, unsigned from)
{
	static char text[256];
	const struct route_source *source = &r->source[from];

	text[0] = '\0';
	for (unsigned i = 0; i < source->ntargets; i++) {
		const struct route_target *target = &source->targets[i];

		append(text, sizeof(text), "%s%s", i > 0 ? " " : "",
		    abcd[target->to]);
		for (unsigned j = 0; j < target->nvia; j++)
			append(text, sizeof(text), "%c%s", j > 0 ? ',' : ':',
			    target->via[j]->name);
	}
	return text;
}

static struct route *
verdict(struct routes *r, const char *payload, size_t len)
{
	return route_verdict(&r->source[0].targets[0], NULL, NULL,
	    (const uint8_t *)payload, len, 0, &refused);
}

/* Whether a route from a to b with those keys lets the bytes pass. */
static bool
lets_pass(const char *keys, const char *payload, size_t len)
{
	char text[256];
	const char *sections[] = { text, NULL };
	struct routes *r;
	bool passes;

	snprintf(text, sizeof(text), "from=a@to=b@%s", keys);
	r = table(sections, NULL);
	passes = verdict(r, payload, len) != NULL;
	assert_int_equal(r->route[0]->rejected, !passes);
	routes_free(r);
	return passes;
}

static void
without_routes_everyone_reaches_every_other(void **state)
{
	const char *none[] = { NULL };
	struct routes *r = table(none, NULL);

	(void)state;
	assert_string_equal(reach(r, 0), "b:all c:all d:all");
	assert_string_equal(reach(r, 2), "a:all b:all d:all");
	assert_int_equal(r->nroutes, 1);
	assert_string_equal(r->route[0]->from, "*");
	assert_string_equal(r->route[0]->to, "*");
	assert_ptr_equal(verdict(r, "x", 1), r->route[0]);
	routes_free(r);
}

static void
only_an_endpoint_with_several_peers_reaches_itself(void **state)
{
	const char *const sections[] = { "from=a b@to=a b c", NULL };
	const enum route_end ends[] = { END_SINGLE, END_SEVERAL, END_SINGLE,
		END_SINGLE };
	struct routes *r = table(sections, ends);

	(void)state;
	assert_string_equal(reach(r, 0), "b:r0 c:r0");
	assert_string_equal(reach(r, 1), "a:r0 b:r0 c:r0");
	routes_free(r);
}

static void
two_echoes_never_reach_each_other(void **state)
{
	const char *none[] = { NULL };
	const char *sections[] = { "between=a b c", "from=c@to=b,c", NULL };
	const enum route_end ends[] = { END_SEVERAL, END_ECHO, END_ECHO,
		END_SEVERAL };
	struct routes *r = table(none, ends);

	(void)state;
	assert_string_equal(reach(r, 0), "b:all c:all d:all");
	assert_string_equal(reach(r, 1), "a:all d:all");
	routes_free(r);
	r = table(sections, ends);
	assert_string_equal(reach(r, 1), "a:r0");
	assert_string_equal(reach(r, 2), "a:r0");
	routes_free(r);
}

static void
between_joins_each_to_every_other(void **state)
{
	const char *sections[] = { "between=a, c\td", NULL };
	struct routes *r = table(sections, NULL);

	(void)state;
	assert_string_equal(reach(r, 0), "c:r0 d:r0");
	assert_string_equal(reach(r, 1), "");
	assert_string_equal(reach(r, 3), "a:r0 c:r0");
	assert_string_equal(r->route[0]->from, "a,c,d");
	assert_string_equal(r->route[0]->to, "a,c,d");
	routes_free(r);
}

static void
from_leads_to_one_way(void **state)
{
	const char *sections[] = { "from=a b@to=c,d", "from=d@to=d", NULL };
	struct routes *r = table(sections, NULL);

	(void)state;
	assert_string_equal(reach(r, 0), "c:r0 d:r0");
	assert_string_equal(reach(r, 1), "c:r0 d:r0");
	assert_string_equal(reach(r, 2), "");
	/* Both lists name it: clients of a server that hear each other. */
	assert_string_equal(reach(r, 3), "d:r1");
	assert_string_equal(r->route[0]->from, "a,b");
	assert_string_equal(r->route[0]->to, "c,d");
	routes_free(r);
}

static void
routes_to_one_target_are_tried_in_file_order(void **state)
{
	const char *sections[] = { "from=a@to=b@match=^1",
		"between=a b@match=^2", "from=a@to=b c@match=^[23]", NULL };
	struct routes *r = table(sections, NULL);

	(void)state;
	assert_string_equal(reach(r, 0), "b:r0,r1,r2 c:r2");
	assert_string_equal(reach(r, 1), "a:r1");
	assert_string_equal(verdict(r, "1", 1)->name, "r0");
	assert_string_equal(verdict(r, "2", 1)->name, "r1");
	assert_string_equal(verdict(r, "3", 1)->name, "r2");
	assert_null(verdict(r, "4", 1));
	/* What each of them refused. */
	assert_int_equal(r->route[0]->rejected, 3);
	assert_int_equal(r->route[1]->rejected, 2);
	assert_int_equal(r->route[2]->rejected, 1);
	routes_free(r);
}

static void
filters_look_at_bytes(void **state)
{
	(void)state;
	assert_true(lets_pass("match=b", "abc", 3));
	assert_false(lets_pass("match=^b", "abc", 3));
	assert_true(lets_pass("match=c$", "a\0c", 3));
	assert_true(lets_pass("match=^a[^b]c$", "a\0c", 3));
	assert_false(lets_pass("match=x", "a\0b", 3));
	assert_true(lets_pass("match=x", "a\0x", 3));
	assert_true(lets_pass("match=^.{3}$", "\xff\xfe\n", 3));
	/* What lies behind the payload is none of its business. */
	assert_false(lets_pass("match=c", "abc", 2));
	assert_true(lets_pass("match=b$", "abc", 2));
	assert_false(lets_pass("reject=b", "abc", 3));
	assert_true(lets_pass("reject=x", "abc", 3));
	assert_false(lets_pass("match=a@reject=c", "abc", 3));
	assert_true(lets_pass("match=a@reject=c", "ab", 2));
	assert_true(lets_pass("match=^$", "", 0));
	assert_false(lets_pass("match=.", "", 0));
}

static void
match_hex_is_a_prefix(void **state)
{
	(void)state;
	assert_true(lets_pass("match_hex=01 00 ff", "\x01\0\xffmore", 7));
	assert_true(lets_pass("match_hex=0100", "\x01\0", 2));
	assert_false(lets_pass("match_hex=0100", "\x01", 1));
	assert_false(lets_pass("match_hex=0100", "\x01\x01\0", 3));
	assert_false(lets_pass("match_hex=0100", "", 0));
	assert_true(lets_pass("match_hex=61@match=c$", "abc", 3));
	assert_false(lets_pass("match_hex=61@match=b$", "abc", 3));
	assert_false(lets_pass("match_hex=62@match=c$", "abc", 3));
}

static void
an_exchange_keeps_what_it_has_counted(void **state)
{
	const char *conf[] = { "from=a@to=b@exchange=modbus", NULL };
	struct routes *old = table(conf, NULL), *new;
	struct exchange_stats *stats = old->route[0]->stats;

	(void)state;
	stats->counters.answers = 5;
	stats->counters.exceptions[EXCHANGE_EXCEPTIONS] = 6;
	stats->counters.busy_ns = 7;
	stats->busy.since_ns = 8;
	histogram_add(&stats->bus_time, 5000, 9);
	new = successor(conf, old, NULL);
	routes_free(old);
	stats = new->route[0]->stats;
	assert_int_equal(stats->counters.answers, 5);
	assert_int_equal(stats->counters.exceptions[EXCHANGE_EXCEPTIONS], 6);
	assert_int_equal(stats->counters.busy_ns, 7);
	assert_int_equal(stats->busy.since_ns, 8);
	assert_int_equal(stats->bus_time.total, 9);
	routes_free(new);
}

static void
counters_live_on_in_the_same_route(void **state)
{
	const char *before[] = { "between=a b", "between=c d", NULL };
	const char *after[] = { "between=a b", "between=b d", NULL };
	struct routes *old = table(before, NULL), *new;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		old->route[i]->frames = 7;
		old->route[i]->bytes = 70;
		old->route[i]->rejected = 3;
		old->route[i]->limited = 4;
		histogram_add(&old->route[i]->latency, 5000, 7);
	}
	new = successor(after, old, NULL);
	routes_free(old);
	assert_int_equal(new->route[0]->frames, 7);
	assert_int_equal(new->route[0]->bytes, 70);
	assert_int_equal(new->route[0]->rejected, 3);
	assert_int_equal(new->route[0]->limited, 4);
	assert_int_equal(new->route[0]->latency.total, 7);
	assert_true(histogram_percentile(&new->route[0]->latency, 50) > 0);
	/* The second has another section under its name. */
	assert_int_equal(new->route[1]->frames, 0);
	assert_int_equal(new->route[1]->latency.total, 0);
	routes_free(new);
}

static void
counters_live_on_without_routes(void **state)
{
	const char *none[] = { NULL };
	struct routes *old = table(none, NULL), *new;

	(void)state;
	old->route[0]->frames = 7;
	new = successor(none, old, NULL);
	routes_free(old);
	assert_int_equal(new->route[0]->frames, 7);
	routes_free(new);
}

/* Routes are told by name and text, wherever they stand. */
static void
routes_keep_their_identity_when_others_come_and_go(void **state)
{
	const char *before[] = { "between=a b", "from=a@to=b", "from=b@to=c",
		NULL };
	const char *after[] = { "between=c d", "from=a@to=b", "from=b@to=d",
		NULL };
	struct routes *old = table(before, NULL), *new;
	unsigned number[3];

	(void)state;
	new = successor(after, old, number);
	assert_int_equal(number[0], ROUTE_NONE);
	assert_int_equal(number[1], 1);
	assert_int_equal(number[2], ROUTE_NONE);
	routes_free(new);
	for (unsigned i = 0; i < 2; i++) {
		free(old->route[i]->conf->name);
		old->route[i]->conf->name = strdup(i == 0 ? "r1" : "x");
		old->route[i]->name = old->route[i]->conf->name;
	}
	free(old->route[0]->conf->text);
	old->route[0]->conf->text = strdup("from=a@to=b");
	new = successor(after, old, number);
	assert_int_equal(number[0], 1);
	routes_free(new);
	routes_free(old);
}

/* Frames that wait carry it until they are told. */
static void
a_vacant_number_is_given_again_by_the_next_change_only(void **state)
{
	const char *before[] = { "between=a b", "between=b c", NULL };
	const char *after[] = { "between=a d", "between=b c", NULL };
	unsigned number[3], first;
	struct routes *old = table(before, NULL), *new, *last;

	(void)state;
	new = successor(after, old, number);
	first = new->route[0]->number;
	assert_int_equal(old->route[0]->number, 0);
	assert_int_not_equal(first, 0);
	assert_int_equal(new->route[1]->number, 1);
	last = successor(before, new, number);
	assert_int_equal(last->route[0]->number, 0);
	assert_null(routes_at(last, first));
	assert_int_equal(last->route[1]->number, 1);
	assert_true(routes_renumber(new, number));
	assert_int_equal(number[first], 0);
	assert_int_equal(number[1], 1);
	assert_ptr_equal(routes_at(new, 0), new->route[0]);
	assert_false(routes_renumber(new, number));
	routes_free(old);
	routes_free(new);
	routes_free(last);
}

static void
what_a_rate_let_pass_still_counts(void **state)
{
	const char *before[] = { "from=a@to=b c@rate=2/10s", NULL };
	const char *after[] = { "from=a@to=b c@rate=2/10s@match=x", NULL };
	const char *faster[] = { "from=a@to=b c@rate=1/s", NULL };
	const unsigned was[] = { 0, 2, 1, ROUTE_NONE };
	struct routes *old = table(before, NULL), *new;
	unsigned number[1];

	(void)state;
	for (int i = 0; i < 2; i++)
		assert_non_null(route_verdict(&old->source[0].targets[0], NULL,
		    NULL, (const uint8_t *)"x", 1, NSEC_PER_SEC, &refused));
	assert_null(route_verdict(&old->source[0].targets[0], NULL, NULL,
	    (const uint8_t *)"x", 1, NSEC_PER_SEC, &refused));
	/* b and c have changed their numbers. */
	new = table(after, NULL);
	take_over(new, old, was, number);
	assert_null(route_verdict(&new->source[0].targets[1], NULL, NULL,
	    (const uint8_t *)"x", 1, NSEC_PER_SEC, &refused));
	assert_non_null(route_verdict(&new->source[0].targets[0], NULL, NULL,
	    (const uint8_t *)"x", 1, NSEC_PER_SEC, &refused));
	routes_free(new);
	/* Another rate: the time of one frame of it at most. */
	new = successor(faster, old, NULL);
	assert_null(route_verdict(&new->source[0].targets[0], NULL, NULL,
	    (const uint8_t *)"x", 1, NSEC_PER_SEC, &refused));
	assert_non_null(route_verdict(&new->source[0].targets[0], NULL, NULL,
	    (const uint8_t *)"x", 1, 2 * NSEC_PER_SEC, &refused));
	routes_free(new);
	routes_free(old);
}

static void
an_unknown_endpoint_is_named(void **state)
{
	struct route_conf *confs[] = { section("x", "between=a b"),
		section("y", "from=a@to=nobody") };
	struct routes *routes = NULL;
	unsigned bad = 99;
	struct error err;

	(void)state;
	assert_int_equal(
	    routes_new(confs, 2, abcd, NULL, 4, &routes, &bad, &err), -EINVAL);
	assert_null(routes);
	assert_int_equal(bad, 1);
	assert_non_null(strstr(err.text, "'nobody'"));
	/* The sections are still ours. */
	route_conf_free(confs[0]);
	route_conf_free(confs[1]);
}

static void
keys_that_do_not_go_together(void **state)
{
	static const struct {
		const char *keys, *says;
	} cases[] = {
		{ "match=x", "'between = A B'" },
		{ "between=a", "two endpoints" },
		{ "between=a, b c a", "'a' stands twice in 'between'" },
		{ "between=a b@to=c", "either" },
		{ "from=a", "'from' is given, and 'to' is missing" },
		{ "to=a", "'to' is given, and 'from' is missing" },
		{ "from=,@to=a", "'from' names no endpoint" },
		{ "from=a@to=b b", "'b' stands twice in 'to'" },
	};

	(void)state;
	for (size_t i = 0; i < NELEM(cases); i++) {
		struct route_conf *conf = section("r", cases[i].keys);
		struct error err = { "" };

		assert_int_equal(route_conf_check(conf, &err), -EINVAL);
		if (strstr(err.text, cases[i].says) == NULL)
			fail_msg("%s: %s", cases[i].keys, err.text);
		route_conf_free(conf);
	}
}

static void
an_expression_that_would_take_all_memory_is_refused(void **state)
{
	static const char *const bad[] = { "a{1001}", "a{,32767}",
		"((a{255}){255}){255}", "(.{0,1000}){1,3}x",
		"((((((((((((((((((((((((((((((((((((((a",
		"[[:alpha:]{]{2000}" };
	static const char *const good[] = { "a{1000}", "^[0-9a-f]{64}$",
		"[{]{3}[]{9999}]", "\\{9999\\}", "^(GP|GN)(GGA|RMC),[0-9.]+,",
		"([0-9]{1,3}\\.){3}[0-9]{1,3}", "x*(y?z+)*",
		"[[:digit:]{2000}]", "((((((((((((a+)+)+)+)+)+)+)+)+)+)+)+)+",
		"a+++++++++++++++++++++++++++++++" };
	struct route_conf conf = { 0 };
	const struct key *match = key_find(route_keys, "match");
	struct error err;

	(void)state;
	for (size_t i = 0; i < NELEM(bad); i++)
		if (key_parse(match, &conf, bad[i], &err) != -EINVAL)
			fail_msg("%s", bad[i]);
	assert_null(conf.match);
	for (size_t i = 0; i < NELEM(good); i++)
		if (key_parse(match, &conf, good[i], &err) != 0)
			fail_msg("%s: %s", good[i], err.text);
	free(conf.match);
	assert_int_equal(key_parse(match, &conf, "(a", &err), -EINVAL);
	assert_non_null(strstr(err.text, "nmatched"));
}

/* Against the rule written down as loops. */
static void
random_tables_reach_what_their_routes_say(void **state)
{
	unsigned seed = 1;

	(void)state;
	for (int round = 0; round < 200; round++) {
		bool want[4][4] = { 0 };
		char text[4][64];
		const char *sections[5] = { text[0], text[1], text[2],
			text[3] };
		struct routes *r;

		for (int i = 0; i < 4; i++) {
			unsigned from = (unsigned)rand_r(&seed) % 15 + 1;
			unsigned to = (unsigned)rand_r(&seed) % 15 + 1;

			snprintf(text[i], sizeof(text[i]), "from=");
			for (unsigned j = 0; j < 4; j++)
				if (from & 1U << j)
					append(text[i], 64, " %s", abcd[j]);
			append(text[i], 64, "@to=");
			for (unsigned j = 0; j < 4; j++)
				if (to & 1U << j)
					append(text[i], 64, ",%s", abcd[j]);
			for (unsigned j = 0; j < 16; j++)
				if ((from & 1U << j / 4) && (to & 1U << j % 4))
					want[j / 4][j % 4] = true;
		}
		r = table(sections, NULL);
		for (unsigned i = 0; i < 4; i++) {
			const struct route_source *source = &r->source[i];
			unsigned n = 0;

			for (unsigned j = 0; j < 4; j++)
				n += want[i][j];
			assert_int_equal(source->ntargets, n);
			for (unsigned j = 0; j < n; j++)
				assert_true(want[i][source->targets[j].to]);
		}
		routes_free(r);
	}
}

static void
messages_are_told_by_what_they_are(void **state)
{
	(void)state;
	assert_true(lets_pass("match_nmea=GP*,!GPGSV", "$GPGGA,1", 8));
	assert_false(lets_pass("match_nmea=GP*,!GPGSV", "$GPGSV,1", 8));
	assert_true(lets_pass("match_unit=1-5", "\003\003\0\0\0\1", 6));
	assert_false(lets_pass("match_unit=1-5", "\006\003\0\0\0\1", 6));
	assert_true(lets_pass("match_mavlink=0,30", "\1\0\1\1\036x", 6));
	assert_false(lets_pass("match_mavlink=0,31", "\1\0\1\1\036x", 6));
	/* All of them have to let it pass. */
	assert_false(lets_pass("match_nmea=GPGGA@match=2", "$GPGGA,1", 8));
	assert_true(lets_pass("match_nmea=GPGGA@match=1", "$GPGGA,1", 8));
}

/* How many of ten frames at that time get to a target of the first source. */
static unsigned
ten_frames(struct routes *r, unsigned target, uint64_t now)
{
	unsigned passed = 0;

	for (int i = 0; i < 10; i++)
		if (route_verdict(&r->source[0].targets[target], NULL, NULL,
			(const uint8_t *)"x", 1, now, &refused) != NULL)
			passed++;
	return passed;
}

static void
a_rate_holds_for_each_endpoint(void **state)
{
	const char *sections[] = { "from=a@to=b c@rate=3/s@reject=y",
		"from=a@to=b@rate=2/m", NULL };
	struct routes *r = table(sections, NULL), *again;

	(void)state;
	/* To b: the second route takes what is too much for the first. */
	assert_int_equal(ten_frames(r, 0, 5 * NSEC_PER_SEC), 5);
	assert_int_equal(ten_frames(r, 1, 5 * NSEC_PER_SEC), 3);
	assert_int_equal(ten_frames(r, 1, 6 * NSEC_PER_SEC), 3);
	assert_int_equal(ten_frames(r, 0, 6 * NSEC_PER_SEC), 3);
	assert_int_equal(r->route[0]->limited, 7 + 7 + 7 + 7);
	assert_int_equal(r->route[1]->limited, 5 + 7);
	assert_int_equal(r->route[0]->rejected, 0);
	again = successor(sections, r, NULL);
	assert_int_equal(again->route[0]->limited, 28);
	routes_free(r);
	routes_free(again);
}

static bool
passes_at(struct routes *r, unsigned target, const char *text, uint64_t now)
{
	return route_verdict(&r->source[0].targets[target], NULL, NULL,
		   (const uint8_t *)text, strlen(text), now, &refused) != NULL;
}

static void
each_message_that_a_filter_names_has_its_own_rate(void **state)
{
	const char *sections[] = { "from=a@to=b c@rate=1/10s@match_nmea=GP*",
		NULL };
	const uint64_t now = 5 * NSEC_PER_SEC;
	struct routes *r = table(sections, NULL), *again;

	(void)state;
	for (unsigned target = 0; target < 2; target++) {
		assert_true(passes_at(r, target, "$GPGGA,1", now));
		assert_true(passes_at(r, target, "$GPRMC,1", now));
		assert_false(passes_at(r, target, "GPGGA,2", now));
		assert_false(passes_at(r, target, "$gprmc,2*00", now));
		assert_true(passes_at(r, target, "$GPGLL,1", now));
	}
	assert_int_equal(r->route[0]->limited, 4);
	/* They still count in the table that takes its place. */
	again = successor(sections, r, NULL);
	routes_free(r);
	assert_false(passes_at(again, 0, "$GPGGA,3", now));
	assert_true(passes_at(again, 0, "$GPVTG,1", now));
	assert_true(passes_at(again, 0, "$GPGGA,4", now + 10 * NSEC_PER_SEC));
	routes_free(again);
}

/* However many there are, none gets more, and those that were quiet take no place. */
static void
the_rates_of_messages_are_bounded(void **state)
{
	const char *sections[] = { "from=a@to=b@rate=1/10s@match_nmea=*",
		NULL };
	struct routes *r = table(sections, NULL);
	uint64_t now = NSEC_PER_SEC;
	char text[32];

	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 2 * RATE_MESSAGES; i++) {
			unsigned number = round * 1000 + i;

			snprintf(text, sizeof(text), "$GP%u,1", number);
			assert_int_equal(
			    passes_at(r, 0, text, now), i < RATE_MESSAGES);
			assert_false(passes_at(r, 0, text, now));
		}
		now += 10 * NSEC_PER_SEC;
	}
	routes_free(r);
}

/* Only the sources of routes with a choice are heard, or all for MAVLink systems. */
static void
sources_are_heard_for_their_routes(void **state)
{
	const char *const choices[] = { "from=a b@to=c d@prefer=from",
		"from=a@to=b c@prefer=to", "from=c@to=d", NULL };
	const char *const target[] = { "from=a@to=b@routing=target", NULL };
	struct routes *routes = table(choices, NULL);

	(void)state;
	assert_true(routes->source[0].hears);
	assert_int_equal(routes->source[0].nchoosing, 2);
	assert_ptr_equal(routes->source[0].choosing[0], routes->route[1]);
	assert_ptr_equal(routes->source[0].choosing[1], routes->route[0]);
	assert_true(routes->source[1].hears);
	assert_int_equal(routes->source[1].nchoosing, 1);
	assert_ptr_equal(routes->source[1].choosing[0], routes->route[0]);
	assert_false(routes->source[2].hears);
	assert_true(routes->source[2].targets[0].plain);
	assert_false(routes->source[3].hears);
	routes_free(routes);
	routes = table(target, NULL);
	for (unsigned i = 0; i < 4; i++) {
		assert_true(routes->source[i].hears);
		assert_int_equal(routes->source[i].nchoosing, 0);
	}
	routes_free(routes);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_routes_everyone_reaches_every_other),
		cmocka_unit_test(
		    only_an_endpoint_with_several_peers_reaches_itself),
		cmocka_unit_test(two_echoes_never_reach_each_other),
		cmocka_unit_test(between_joins_each_to_every_other),
		cmocka_unit_test(from_leads_to_one_way),
		cmocka_unit_test(routes_to_one_target_are_tried_in_file_order),
		cmocka_unit_test(filters_look_at_bytes),
		cmocka_unit_test(match_hex_is_a_prefix),
		cmocka_unit_test(an_exchange_keeps_what_it_has_counted),
		cmocka_unit_test(counters_live_on_in_the_same_route),
		cmocka_unit_test(counters_live_on_without_routes),
		cmocka_unit_test(
		    routes_keep_their_identity_when_others_come_and_go),
		cmocka_unit_test(
		    a_vacant_number_is_given_again_by_the_next_change_only),
		cmocka_unit_test(what_a_rate_let_pass_still_counts),
		cmocka_unit_test(an_unknown_endpoint_is_named),
		cmocka_unit_test(keys_that_do_not_go_together),
		cmocka_unit_test(sources_are_heard_for_their_routes),
		cmocka_unit_test(
		    an_expression_that_would_take_all_memory_is_refused),
		cmocka_unit_test(messages_are_told_by_what_they_are),
		cmocka_unit_test(a_rate_holds_for_each_endpoint),
		cmocka_unit_test(
		    each_message_that_a_filter_names_has_its_own_rate),
		cmocka_unit_test(the_rates_of_messages_are_bounded),
		cmocka_unit_test(random_tables_reach_what_their_routes_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
