/*
 * ask, gather, race and stream: send frames to endpoints, and show what they answer.
 *
 * The client cannot give another command meanwhile, so that replies stay in order.  An
 * answer is shown in the client's turns.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "command.h"
#include "call.h"
#include "query.h"
#include "value.h"

#define ASK_DEFAULT (2 * NSEC_PER_SEC)
/* A client that disconnects meanwhile occupies its slot until then. */
#define ASK_MAX (60 * NSEC_PER_SEC)
/* The queries of one command. */
#define ASK_QUERIES_MAX 64
/* The bytes of an answer that are shown in one step. */
#define STEP_BYTES 4096
/* The bytes of the reasons in the error of a race. */
#define LOST_ROOM (CLIENT_ERROR_MAX - 32)

enum how {
	HOW_ASK,    /* one query */
	HOW_GATHER, /* all answers, in the order of the queries */
	HOW_RACE,   /* the first answer */
	HOW_STREAM, /* each answer when it arrives */
};

struct asks {
	enum how how;
	bool json;
	unsigned n, nended, nshown;
	int winner;  /* the first that is answered, or -1 */
	int current; /* the one that is being shown, or -1 */
	unsigned order[ASK_QUERIES_MAX]; /* in which they have ended */
	struct query *query[ASK_QUERIES_MAX];
};

/* --- what is to be shown --------------------------------------------------- */

static bool
is_over(const struct asks *a)
{
	if (a->how == HOW_RACE && a->winner >= 0)
		return a->nshown > 0;
	if (a->how == HOW_RACE)
		return a->nended == a->n;
	return a->nshown == a->n;
}

/* The query to be shown next; -1: none yet. */
static int
next_shown(const struct asks *a)
{
	if (is_over(a))
		return -1;
	switch (a->how) {
	case HOW_RACE:
		return a->winner;
	case HOW_STREAM:
		return a->nshown < a->nended ? (int)a->order[a->nshown] : -1;
	default:
		return a->nended == a->n ? (int)a->nshown : -1;
	}
}

static void
asks_update(struct client *c)
{
	const struct asks *a = c->asks;

	c->answered = a->current >= 0 || next_shown(a) >= 0 || is_over(a);
	c->asking = !c->answered;
}

/* One query has ended. */
static void
asks_count(struct asks *a, const struct query *q)
{
	for (unsigned i = 0; i < a->n; i++)
		if (a->query[i] == q) {
			a->order[a->nended++] = i;
			if (q->state == QUERY_ANSWERED && a->winner < 0)
				a->winner = (int)i;
		}
}

static void
on_done(struct query *q)
{
	struct client *c = q->arg;

	asks_count(c->asks, q);
	asks_update(c);
	if (c->answered && !c->closed)
		c->ops->wake(c);
}

static void
asks_free(struct asks *a)
{
	for (unsigned i = 0; a != NULL && i < a->n; i++)
		query_free(a->query[i]);
	free(a);
}

void
command_unask(struct client *c)
{
	asks_free(c->asks);
	c->asks = NULL;
	c->asking = c->answered = false;
}

void
command_ask_label(const struct client *c, char *buf, size_t size)
{
	const struct asks *a = c->asks;

	if (a->n == 1)
		snprintf(buf, size, "the answer of %s to %s", a->query[0]->name,
		    c->address);
	else
		snprintf(buf, size,
		    "the answers to %u queries of %s (%u ended)", a->n,
		    c->address, a->nended);
}

/* --- showing --------------------------------------------------------------- */

static void
show_error_json(struct evbuffer *out, const char *error)
{
	char text[CLIENT_ERROR_MAX];

	printable(error, text, sizeof(text));
	evbuffer_add_printf(out, "\"error\":\"");
	call_json_text(out, text);
	evbuffer_add_printf(out, "\"");
}

/* What comes before the answer. */
static void
show_head_json(struct client *c, struct query *q)
{
	const struct asks *a = c->asks;
	bool answered = q->state == QUERY_ANSWERED;
	char took[32] = "null";

	if (answered)
		print_seconds(q->took, 6, took, sizeof(took));
	if (a->how == HOW_GATHER)
		evbuffer_add(c->reply, a->nshown > 0 ? "," : "[", 1);
	evbuffer_add(c->reply, "{", 1);
	if (a->how != HOW_ASK)
		evbuffer_add_printf(c->reply,
		    "\"number\":%d,\"name\":\"%s\",\"time\":%s,%s",
		    a->current + 1, q->name, took,
		    answered ? "\"error\":null," : "");
	if (answered)
		evbuffer_add_printf(c->reply,
		    "\"from\":\"%s\",\"size\":%zu,\"text\":\"", q->from,
		    evbuffer_get_length(q->answer));
	else
		show_error_json(c->reply, query_error(q));
}

static void
show_head(struct client *c, struct query *q)
{
	const struct asks *a = c->asks;

	if (a->json) {
		show_head_json(c, q);
		return;
	}
	if (a->how != HOW_ASK)
		evbuffer_add_printf(
		    c->reply, "%d %s ", a->current + 1, q->name);
	if (q->state != QUERY_ANSWERED)
		client_error(c, query_error(q));
}

static void
show_tail(struct client *c, const struct query *q)
{
	struct asks *a = c->asks;
	bool answered = q->state == QUERY_ANSWERED;

	if (a->json)
		evbuffer_add_printf(c->reply, "%s}%s", answered ? "\"" : "",
		    a->how != HOW_GATHER ? "\n" : "");
	else if (answered)
		evbuffer_add(c->reply, "\n", 1);
	a->nshown++;
	a->current = -1;
}

/*
 * Writes the numbers of the queries that ended for the same reason as the first one, as
 * "2-4,6", or "2 NAME" if it is alone.  Marks them as told, and returns how many they are.
 */
static unsigned
name_alike(
    const struct asks *a, unsigned first, bool *told, char *buf, size_t size)
{
	const char *reason = query_error(a->query[first]);
	unsigned n = 0, end;

	buf[0] = '\0';
	for (unsigned i = first; i < a->n; i = end + 1) {
		for (end = i; end < a->n &&
		     strcmp(query_error(a->query[end]), reason) == 0;
		     end++)
			told[end] = true;
		if (end == i)
			continue;
		append(buf, size, "%s%u", n > 0 ? "," : "", i + 1);
		if (end > i + 1)
			append(buf, size, "-%u", end);
		n += end - i;
	}
	if (n == 1)
		append(buf, size, " %s", a->query[first]->name);
	return n;
}

/* Says what became of each query; those whose reason has no room are counted. */
static void
show_lost_race(struct client *c)
{
	const struct asks *a = c->asks;
	char text[CLIENT_ERROR_MAX] = "no answer arrived:";
	char who[4 * ASK_QUERIES_MAX], part[sizeof(who) + ERROR_MAX + 8];
	bool told[ASK_QUERIES_MAX] = { false };
	unsigned n, more = 0;

	for (unsigned i = 0; i < a->n; i++) {
		if (told[i])
			continue;
		n = name_alike(a, i, told, who, sizeof(who));
		snprintf(part, sizeof(part), "%s %s: %s", i > 0 ? ";" : "", who,
		    query_error(a->query[i]));
		if (more > 0 || strlen(text) + strlen(part) > LOST_ROOM)
			more += n;
		else
			append(text, sizeof(text), "%s", part);
	}
	if (more > 0)
		append(text, sizeof(text), "; and %u more", more);
	client_error(c, text);
}

/* Everything is shown. */
static void
finish(struct client *c)
{
	struct asks *a = c->asks;

	if (a->how == HOW_RACE && a->winner < 0) {
		show_lost_race(c);
	} else if (a->how == HOW_ASK && a->query[0]->state != QUERY_ANSWERED) {
		client_error(c, query_error(a->query[0]));
	} else {
		evbuffer_add_printf(c->reply, "%sOK\n",
		    a->json && a->how == HOW_GATHER ? "]\n" : "");
	}
	command_unask(c);
}

/* The rest is cancelled once there is an answer. */
static void
end_race(struct asks *a)
{
	for (unsigned i = 0; i < a->n; i++) {
		if ((int)i == a->winner)
			continue;
		query_free(a->query[i]);
		a->query[i] = NULL;
	}
}

static void
show_begin(struct client *c)
{
	struct asks *a = c->asks;

	a->current = next_shown(a);
	if (a->how == HOW_RACE)
		end_race(a);
	show_head(c, a->query[a->current]);
}

static void
show_part(struct client *c, const struct query *q)
{
	size_t len = MIN(evbuffer_get_length(q->answer), (size_t)STEP_BYTES);
	const uint8_t *part = evbuffer_pullup(q->answer, (ssize_t)len);

	if (part != NULL)
		call_escape(c->reply, c->asks->json, part, len);
	evbuffer_drain(q->answer, len);
	if (evbuffer_get_length(q->answer) == 0)
		show_tail(c, q);
}

void
command_answer(struct client *c)
{
	struct asks *a = c->asks;
	bool lost = a->how == HOW_ASK && a->query[0]->state != QUERY_ANSWERED;

	if (!lost && a->current < 0 && next_shown(a) >= 0)
		show_begin(c);
	if (a->current >= 0)
		show_part(c, a->query[a->current]);
	if (lost || (a->current < 0 && is_over(a)))
		finish(c);
	else
		asks_update(c);
}

/* --- the commands ---------------------------------------------------------- */

static int
parse_timeout(struct call *call, const char *word, uint64_t *ret)
{
	if (parse_time(word, ret) < 0 || *ret == 0 || *ret > ASK_MAX)
		return call_fail(call, EINVAL,
		    "'%.64s' is not a time to await an answer; up to 1m, as "
		    "in 500ms",
		    word);
	return 0;
}

/* If the last of several words is a time with a unit, it is the timeout, and is removed. */
static int
take_timeout(struct call *call, char *text, uint64_t *timeout)
{
	char *blank = strrchr(text, ' ');
	const char *word = blank != NULL ? blank + 1 : "";
	uint64_t ns;

	if (strspn(word, "0123456789.") == 0 || strpbrk(word, "mshu") == NULL ||
	    parse_time(word, &ns) < 0)
		return 0;
	*blank = '\0';
	return parse_timeout(call, word, timeout);
}

/* Ends the first word; returns the text after it. */
static char *
cut_word(char *text)
{
	char *rest = text + strcspn(text, " \t");

	if (*rest != '\0')
		*rest++ = '\0';
	return rest + strspn(rest, " \t");
}

/* Takes match=REGEX from the text. */
static int
take_match(struct call *call, char **text, struct expression **ret)
{
	static const char key[] = "match=";
	struct error err;
	char *word = *text;
	int r;

	*ret = NULL;
	if (strncmp(word, key, strlen(key)) != 0)
		return 0;
	*text = cut_word(word);
	if (**text == '\0')
		return call_fail(call, EINVAL,
		    "a text is missing after match=: %s", call->command->usage);
	r = expression_new(word + strlen(key), ret, &err);
	return r < 0 ? call_fail(call, -r, "%.64s: %s", word, err.text) : 0;
}

/* Adds the query of NAME [match=REGEX] TEXT [TIMEOUT]. */
static int
add_query(
    struct call *call, struct asks *a, char *name, char *text, uint64_t timeout)
{
	const struct node *node = call_node(call, name);
	uint8_t frame[CLIENT_LINE_MAX];
	struct expression *match;
	struct query *q;
	long len;
	int r;

	if (node == NULL)
		return -ENOENT;
	if ((r = take_timeout(call, text, &timeout)) < 0 ||
	    (r = take_match(call, &text, &match)) < 0)
		return r;
	len = call_frame(call, text, frame);
	q = len < 0 ? NULL : query_new(call->bridge, frame, (size_t)len);
	if (q == NULL) {
		expression_free(match);
		return len < 0 ? (int)len
			       : call_fail(call, ENOMEM, "out of memory");
	}
	snprintf(q->name, sizeof(q->name), "%s", node->endpoint->conf->name);
	snprintf(q->who, sizeof(q->who), "%s", call->client->address);
	q->timeout = timeout;
	q->match = match;
	q->done = on_done;
	q->arg = call->client;
	a->query[a->n++] = q;
	return 0;
}

/* What query n lacks of "ask NAME TEXT". */
static int
fail_part(struct call *call, unsigned n, const char *part, const char *name)
{
	const char *usage = call->command->usage;

	if (*part == '\0')
		return call_fail(call, EINVAL,
		    "query %u is empty: a ';' is for between two queries (and"
		    " \\x3b in a text): %s",
		    n, usage);
	if (strcmp(part, "ask") == 0)
		return call_fail(call, EINVAL, "query %u has no %s: %s", n,
		    *name == '\0' ? "NAME and no TEXT" : "TEXT", usage);
	return call_fail(call, EINVAL,
	    "query %u is not 'ask NAME TEXT' (a ';' in a text is \\x3b): %s", n,
	    usage);
}

/* Adds the query of "ask NAME TEXT". */
static int
add_part(struct call *call, struct asks *a, char *part, uint64_t timeout)
{
	size_t len;
	char *name, *text;

	part += strspn(part, " \t");
	for (len = strlen(part); len > 0 && strchr(" \t", part[len - 1]);)
		part[--len] = '\0';
	name = cut_word(part);
	text = cut_word(name);
	if (strcmp(part, "ask") != 0 || *text == '\0')
		return fail_part(call, a->n + 1, part, name);
	if (a->n == ASK_QUERIES_MAX)
		return call_fail(call, EINVAL,
		    "more than %d queries in one command", ASK_QUERIES_MAX);
	return add_query(call, a, name, text, timeout);
}

/* Adds the queries of [TIMEOUT] ask A TEXT ; ask B TEXT ... */
static int
add_parts(struct call *call, struct asks *a, char *text)
{
	uint64_t timeout = ASK_DEFAULT;
	char *part, *rest;
	int r = 0;

	if (*text >= '0' && *text <= '9') {
		rest = cut_word(text);
		r = parse_timeout(call, text, &timeout);
		text = rest;
	}
	while (r == 0 && (part = strsep(&text, ";")) != NULL)
		r = add_part(call, a, part, timeout);
	return r;
}

static struct asks *
asks_new(struct call *call, enum how how)
{
	struct asks *a = calloc(1, sizeof(*a));

	if (a == NULL) {
		call_fail(call, ENOMEM, "out of memory");
		return NULL;
	}
	a->how = how;
	a->json = call->json;
	a->winner = a->current = -1;
	return a;
}

int
ask_start(struct call *call)
{
	struct client *c = call->client;
	struct asks *a = asks_new(call, HOW_ASK);
	int r;

	if (a == NULL)
		return -ENOMEM;
	r = add_query(call, a, call->argv[1], call->argv[2], ASK_DEFAULT);
	if (r == 0 && (r = query_start(a->query[0])) < 0)
		call->err = a->query[0]->err;
	if (r < 0) {
		asks_free(a);
		return r;
	}
	c->asks = a;
	asks_update(c);
	return CALL_OPEN;
}

/* One that cannot be sent has ended; the others go on. */
static int
several_start(struct call *call, enum how how)
{
	struct client *c = call->client;
	struct asks *a = asks_new(call, how);
	int r;

	if (a == NULL)
		return -ENOMEM;
	if ((r = add_parts(call, a, call->argv[1])) < 0) {
		asks_free(a);
		return r;
	}
	c->asks = a;
	for (unsigned i = 0; i < a->n; i++)
		if (query_start(a->query[i]) < 0)
			asks_count(a, a->query[i]);
	asks_update(c);
	return CALL_OPEN;
}

int
gather_start(struct call *call)
{
	return several_start(call, HOW_GATHER);
}

int
race_start(struct call *call)
{
	return several_start(call, HOW_RACE);
}

int
stream_queries_start(struct call *call)
{
	return several_start(call, HOW_STREAM);
}
