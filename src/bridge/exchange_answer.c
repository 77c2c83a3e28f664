/*
 * exchange_answer: finds the answers among the frames that come from the bus.
 *
 * They are kept for the callback of the exchange, because the batch and the buffers of
 * the data path are in use.
 */
#include "checksum.h"
#include "exchange_parts.h"
#include "log.h"

/* The request that the frame is an answer to, or NULL. */
static struct request *
answered_request(struct exchange *ex, const struct item *item)
{
	uint32_t number =
	    framing_number(exchange_framing(ex), item->payload, item->len);
	const struct request *unwritten =
	    exchange_unwritten(ex) ? ex->newest : NULL;
	struct request *r;

	EACH_REQUEST(r, ex)
		if (r->state == REQUEST_AWAITING && r->number == number &&
		    (r != unwritten || r->tries > 1) &&
		    ex->protocol->answers(
			ex, &r->message, item->payload, item->len))
			return r;
	return NULL;
}

static bool
awaits(const struct exchange *ex)
{
	const struct request *r;

	EACH_REQUEST(r, ex)
		if (r->state == REQUEST_AWAITING)
			return true;
	return false;
}

/* Keeps a frame of the answer, as received, for the master that sent the request. */
static void
keep_answer(struct exchange *ex, struct request *r, const struct batch *batch,
    const struct item *item)
{
	const struct port *port = r->master != NULL ? r->master->port : NULL;
	struct queued q =
	    item_queued(batch, item, port != NULL ? port->node : ex->to);
	uint64_t frames = MAX(exchange_conf(ex)->answer_frames, 1U);

	q.route = (unsigned)(r - ex->request);
	if (queue_add(&ex->answers, &q) < 0)
		exchange_drop(ex, DROP_MEMORY, q.len);
	r->shown |= r->master != NULL && r->master->port == NULL;
	exchange_wake(ex);
	if (++r->frames < frames) {
		r->until_ns = item->since_ns + exchange_answer_timeout(ex);
		return;
	}
	/* Each time that it was sent it may be answered; it is not to be sent once more. */
	if (r->tries > 1) {
		if (ex->newest == r)
			exchange_withdraw(ex, DROP_REPLACED);
		exchange_guard_add(ex, &r->message, r->until_ns);
	}
	r->until_ns = item->since_ns;
	request_set(ex, r, REQUEST_ANSWERED);
}

/* Counts a frame that is no answer to a request, or a late one, which is for no master. */
static void
count_other(struct exchange *ex, struct item *item)
{
	struct exchange_counters *counters = &ex->route[0]->stats->counters;

	item->answer = exchange_is_late(ex, item);
	if (!item->answer && (awaits(ex) || !ex->protocol->units))
		counters->foreign++;
	else
		counters->late++;
}

/*
 * A frame that is equal to the request that was sent last is probably its echo.  A Modbus
 * answer may be equal to its request, so this is not called for one.
 */
static void
hint_echo(struct exchange *ex, const struct item *item)
{
	const struct endpoint_conf *bus = ex->to->endpoint->conf;
	const struct request *r = ex->newest;

	if (ex->hinted || bus->echo || bus->ops->several || r == NULL ||
	    r->state != REQUEST_AWAITING || r->frames > 0 ||
	    item->len != r->sent_len ||
	    crc32_ieee(0, item->payload, item->len) != r->sent_crc)
		return;
	ex->hinted = true;
	log_to(LOG_NOTICE, ABOUT_ENDPOINT, bus->name,
	    "a request came back as it was sent; if the adapter receives what"
	    " it sends, set echo = yes in [%s %s]",
	    bus->ops->type, bus->name);
}

/* Appends the master to the names of the destinations of an answer. */
static void
tell_answer(
    const struct request *r, const struct item *item, char *names, size_t size)
{
	const struct master *master = r->master;

	tap_outcome(item->payload, "answer to %s",
	    exchange_master_name(master, "a disconnected master"));
	if (master != NULL && master->port != NULL)
		append(names, size, "%s%s", *names != '\0' ? "," : "",
		    master->port->link->name);
}

void
exchange_answer(
    struct exchange *ex, struct batch *batch, char *names, size_t size)
{
	ex->shown = NULL;
	for (unsigned i = 0; i < batch->n; i++) {
		struct item *item = &batch->item[i];
		struct request *r = answered_request(ex, item);

		if (r == NULL || !ex->protocol->units)
			hint_echo(ex, item);
		if (r == NULL) {
			count_other(ex, item);
			if (names != NULL)
				tap_outcome(item->payload, "%s",
				    item->answer ? "a late answer"
						 : "no answer to a request");
			continue;
		}
		item->answer = true;
		ex->shown = r;
		keep_answer(ex, r, batch, item);
		if (names != NULL)
			tell_answer(r, item, names, size);
	}
}

bool
exchange_answers(const struct exchange *ex, const struct tap *tap)
{
	return ex->shown != NULL && ex->shown->master != NULL &&
	    ex->shown->master->tap == tap && ex->shown->master->port == NULL;
}

bool
exchange_is_unanswered(
    const struct exchange *ex, const uint8_t *payload, size_t len)
{
	struct modbus m;

	return ex->protocol->read(exchange_framing(ex), payload, len, &m) &&
	    ex->protocol->unanswered(ex, &m, payload, len);
}

uint64_t
exchange_shown_sent_ns(const struct exchange *ex)
{
	return ex->shown != NULL ? ex->shown->sent_ns : 0;
}

uint32_t
exchange_shown_number(const struct exchange *ex)
{
	return ex->shown != NULL ? ex->shown->master_number : 0;
}

bool
exchange_has_master(const struct exchange *ex, const struct node *node)
{
	const struct route_source *s =
	    &ex->bridge->routes->source[node->number];

	for (unsigned i = 0; i < s->ntargets; i++)
		if (s->targets[i].to == ex->to->number)
			return true;
	return false;
}
