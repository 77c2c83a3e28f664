/*
 * query: a frame that is sent to an endpoint, and the answer that is awaited.
 *
 * The answer arrives in the data path, where it is only copied.  What follows, such as
 * sending the next query of the endpoint, is done in the callback of a timer: the one of
 * the timeout, which is activated for that.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "call.h"
#include "convert.h"
#include "exchange.h"
#include "query.h"

/* All queries that have not ended, in the order in which they were started. */
static TAILQ_HEAD(, query) queries = TAILQ_HEAD_INITIALIZER(queries);
static unsigned last_number;

/* --- the queue ------------------------------------------------------------ */

static bool
same_endpoint(const struct query *a, const struct query *b)
{
	return a->bridge == b->bridge && strcmp(a->name, b->name) == 0;
}

/* The number of queries of the endpoint before this one, or of all. */
static unsigned
count_before(const struct query *q)
{
	const struct query *other;
	unsigned n = 0;

	TAILQ_FOREACH(other, &queries, entry) {
		if (other == q)
			break;
		n += same_endpoint(other, q);
	}
	return n;
}

void
query_label(const struct query *q, char *buf, size_t size)
{
	char left[24], all[24];

	format_time_left(q->until, left, sizeof(left));
	format_time(q->timeout, all, sizeof(all));
	if (q->state == QUERY_QUEUED)
		snprintf(buf, size,
		    "its turn to ask %s for %s, after %u more, for %s more (of"
		    " %s)",
		    q->name, q->who, count_before(q), left, all);
	else
		snprintf(buf, size,
		    "an answer of %s to %s, for %s more (of %s)", q->name,
		    q->who, left, all);
}

static void
task_label(const struct task *task, char *buf, size_t size)
{
	const struct query *q = task->arg;

	if (query_has_ended(q))
		snprintf(
		    buf, size, "%s to take the answer of %s", q->who, q->name);
	else
		query_label(q, buf, size);
}

/* Lets the next query of the endpoint have its turn, in its own callback. */
static void
turn_next(const struct query *q)
{
	struct query *next;

	TAILQ_FOREACH(next, &queries, entry)
		if (same_endpoint(next, q))
			break;
	if (next == NULL || next->state != QUERY_QUEUED || next->turn)
		return;
	next->turn = true;
	event_active(next->timer, EV_TIMEOUT, 1);
}

/* Gives its place to the next one, after it has ended. */
static void
leave(struct query *q)
{
	if (q->tapped)
		bridge_untap(q->bridge, &q->tap);
	q->tapped = false;
	event_del(q->timer);
	TASK_SET(&q->task, TASK_IDLE);
	if (!q->listed)
		return;
	TAILQ_REMOVE(&queries, q, entry);
	q->listed = false;
	turn_next(q);
}

/* Records the result; the rest is done in the callback. */
static void
end(struct query *q, enum query_state state)
{
	q->state = state;
	event_active(q->timer, EV_TIMEOUT, 1);
	q->done(q);
}

/* --- the answer ----------------------------------------------------------- */

/* An answer has the number of its request, which had another one on the bus. */
static void
keep_answer(struct query *q, const struct node *node, const uint8_t *payload,
    size_t len)
{
	const struct framing_conf *conf = &node->endpoint->conf->framing;
	uint8_t copy[CONVERT_MAX];

	if (node->exchange == NULL || conf->rule->number_size == 0 ||
	    len > sizeof(copy)) {
		evbuffer_add(q->answer, payload, len);
		return;
	}
	memcpy(copy, payload, len);
	framing_set_number(
	    conf, copy, len, exchange_shown_number(node->exchange));
	evbuffer_add(q->answer, copy, len);
}

static bool
is_answer(const struct query *q, const struct port *from,
    const uint8_t *payload, size_t len)
{
	uint64_t spent = 0;

	if (q->state != QUERY_ASKED ||
	    strcmp(from->node->endpoint->conf->name, q->name) != 0 ||
	    !node_answers(from->node, &q->tap))
		return false;
	return q->match == NULL ||
	    expression_find(q->match, payload, len, EXPRESSION_WORK, &spent) ==
	    1;
}

static void
on_frame(struct tap *tap, const struct port *from, const char *to,
    const uint8_t *payload, size_t len)
{
	struct query *q = CONTAINER_OF(tap, struct query, tap);

	(void)to;
	if (!is_answer(q, from, payload, len))
		return;
	keep_answer(q, from->node, payload, len);
	snprintf(q->from, sizeof(q->from), "%s", from->link->name);
	q->took = now_ns() - q->sent_ns;
	end(q, QUERY_ANSWERED);
}

static bool
is_up_since(const struct endpoint *ep, uint64_t up_ns)
{
	return ep->state == ENDPOINT_UP && ep->since_ns == up_ns;
}

const char *
ask_lost(const struct bridge *b, const char *name, uint64_t up_ns)
{
	const struct node *node = bridge_find(b, name);
	const struct endpoint *ep;

	if (node == NULL)
		return "was removed";
	ep = node->endpoint;
	if (!is_up_since(ep, up_ns))
		return "went down";
	if (ep->paused)
		return "was paused";
	return node->exchange == NULL ? "stopped being the bus of an exchange"
				      : NULL;
}

/* Says why a query ended without an answer before its timeout. */
static void
explain_lost(struct query *q, bool sent)
{
	const char *lost = ask_lost(q->bridge, q->name, q->up_ns);
	const struct node *node = bridge_find(q->bridge, q->name);
	char who[ENDPOINT_NAME_MAX], after[24];

	snprintf(who, sizeof(who), "%s", q->name);
	if (q->unit >= 0)
		snprintf(who, sizeof(who), "unit %d", q->unit);
	if (lost != NULL)
		error_set(&q->err, "%s %s before it answered", q->name, lost);
	else if (sent)
		error_set(&q->err, "%s did not answer within %s", who,
		    format_time(exchange_answer_timeout(node->exchange), after,
			sizeof(after)));
	else
		error_set(&q->err,
		    "the request to %s was dropped before it was answered",
		    who);
}

static void
on_unanswered(struct tap *tap, bool sent)
{
	struct query *q = CONTAINER_OF(tap, struct query, tap);

	if (q->state != QUERY_ASKED)
		return;
	q->lost_sent = sent;
	end(q, QUERY_LOST);
}

/* A query does not survive a new opening: what is read then is not its answer. */
static void
on_state(struct tap *tap, const struct endpoint *ep)
{
	struct query *q = CONTAINER_OF(tap, struct query, tap);

	if (q->state == QUERY_ASKED && strcmp(ep->conf->name, q->name) == 0 &&
	    !is_up_since(ep, q->up_ns))
		end(q, QUERY_LOST);
}

const char *
query_error(struct query *q)
{
	if (!error_is_set(&q->err) && q->state == QUERY_LOST)
		explain_lost(q, q->lost_sent);
	return q->err.text;
}

/* --- sending -------------------------------------------------------------- */

/* The unit to which a request for the bus of an exchange is addressed; -1: to none. */
static int
asked_unit(const struct node *node, const uint8_t *frame, size_t len)
{
	struct modbus m;

	if (node->exchange == NULL ||
	    exchange_conf(node->exchange)->exchange != EXCHANGE_MODBUS ||
	    !framing_modbus(&node->endpoint->conf->framing, frame, len, &m))
		return -1;
	return m.unit;
}

/* Fails if the bus of an exchange gives no answer to the request. */
static int
check_answered(struct query *q, const struct node *node)
{
	const struct exchange *ex = node->exchange;

	if (ex == NULL)
		return 0;
	if (q->match != NULL)
		return error_fail(&q->err, -EINVAL,
		    "%s is the bus of an exchange, whose answer is known"
		    " without match",
		    q->name);
	if (!exchange_is_unanswered(ex, q->frame, q->len))
		return 0;
	if (exchange_conf(ex)->exchange == EXCHANGE_MODBUS)
		return error_fail(&q->err, -EINVAL,
		    "unit 0 is the broadcast unit on %s, and does not answer:"
		    " use send",
		    q->name);
	return error_fail(&q->err, -EINVAL,
	    "the request matches no_answer of [route %s], so that there is no"
	    " answer: use send",
	    exchange_conf(ex)->name);
}

/* The endpoint, if it can be asked; NULL with a message. */
static struct node *
askable(struct query *q)
{
	struct node *node = bridge_find(q->bridge, q->name);

	if (node == NULL)
		error_set(&q->err, "%s was removed", q->name);
	else if (node_can_answer(&q->err, node) == 0 &&
	    check_answered(q, node) == 0)
		return node;
	return NULL;
}

/* Sends the frame; -errno with a message. */
static int
ask(struct query *q, struct node *node)
{
	int r = send_frame(&q->err, node, &q->tap, q->frame, q->len);

	if (r < 0)
		return r;
	q->up_ns = node->endpoint->since_ns;
	q->unit = asked_unit(node, q->frame, q->len);
	q->sent_ns = now_ns();
	q->state = QUERY_ASKED;
	q->tapped = true;
	bridge_tap(q->bridge, &q->tap);
	return 0;
}

/* Waits for the timeout. */
static void
await(struct query *q)
{
	uint64_t now = now_ns();
	struct timeval tv = to_timeval(q->until > now ? q->until - now : 0);

	event_add(q->timer, &tv);
	TASK_WAIT(&q->task);
}

static void
time_out(struct query *q)
{
	char after[24];

	format_time(q->timeout, after, sizeof(after));
	if (q->state == QUERY_QUEUED)
		error_set(&q->err,
		    "timed out after %s, before its turn to ask %s", after,
		    q->name);
	else
		error_set(&q->err, "timed out after %s", after);
	end(q, QUERY_TIMED_OUT);
}

/* Its turn has come. */
static void
take_turn(struct query *q)
{
	struct node *node = askable(q);

	q->turn = false;
	if (node == NULL || ask(q, node) < 0)
		end(q, QUERY_LOST);
	else
		await(q);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct query *q = arg;

	(void)fd, (void)what;
	task_begin(&q->task);
	if (!query_has_ended(q)) {
		if (q->turn)
			take_turn(q);
		else
			time_out(q);
	}
	if (query_has_ended(q))
		leave(q);
	task_end(&q->task);
}

/* --- queries -------------------------------------------------------------- */

static void
cancel(struct task *task)
{
	struct query *q = task->arg;

	if (query_has_ended(q))
		return;
	error_set(&q->err, "cancelled on a control port");
	end(q, QUERY_CANCELLED);
}

struct query *
query_new(struct bridge *b, const uint8_t *frame, size_t len)
{
	struct query *q = calloc(1, sizeof(*q) + len);

	if (q == NULL)
		return NULL;
	q->bridge = b;
	q->unit = -1;
	q->len = len;
	memcpy(q->frame, frame, len);
	q->tap.frame = on_frame;
	q->tap.unanswered = on_unanswered;
	q->tap.state = on_state;
	q->answer = evbuffer_new();
	q->timer = evtimer_new(b->base, on_timer, q);
	if (q->answer != NULL && q->timer != NULL)
		return q;
	query_free(q);
	return NULL;
}

void
query_free(struct query *q)
{
	static const char *const why[] = {
		[QUERY_NEW] = "cancelled",
		[QUERY_QUEUED] = "cancelled",
		[QUERY_ASKED] = "cancelled",
		[QUERY_ANSWERED] = NULL,
		[QUERY_TIMED_OUT] = "timed out",
		[QUERY_LOST] = "lost",
		[QUERY_CANCELLED] = "cancelled on a control port",
	};

	if (q == NULL)
		return;
	if (q->listed)
		leave(q);
	task_remove_why(&q->task, why[q->state]);
	expression_free(q->match);
	if (q->answer != NULL)
		evbuffer_free(q->answer);
	if (q->timer != NULL)
		event_free(q->timer);
	free(q);
}

/* -errno with a message. */
static int
start(struct query *q)
{
	struct node *node = askable(q);
	unsigned before = count_before(q);
	int r;

	if (node == NULL)
		return -ENOTCONN;
	if (before >= QUERIES_MAX)
		return error_fail(&q->err, -ENOBUFS,
		    "%u queries of %s are in progress already", before,
		    q->name);
	q->until = now_ns() + q->timeout;
	q->state = QUERY_QUEUED;
	if ((node->exchange != NULL || before == 0) && (r = ask(q, node)) < 0)
		return r;
	task_add(
	    &q->task, q, task_label, "%s.query#%u", q->name, ++last_number);
	q->task.cancel = cancel;
	q->task.event = q->timer;
	TAILQ_INSERT_TAIL(&queries, q, entry);
	q->listed = true;
	await(q);
	return 0;
}

int
query_start(struct query *q)
{
	int r = start(q);

	if (r < 0)
		q->state = QUERY_LOST;
	return r;
}
