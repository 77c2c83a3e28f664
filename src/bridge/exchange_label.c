/*
 * exchange_label: what an exchange waits for, for the task table.
 */
#include "exchange_parts.h"

/* The request that was sent first, or NULL. */
static const struct request *
oldest_request(const struct exchange *ex)
{
	const struct request *r, *oldest = NULL;

	EACH_REQUEST(r, ex)
		if (r->state != REQUEST_NONE &&
		    (oldest == NULL || r->first_ns < oldest->first_ns))
			oldest = r;
	return oldest;
}

static void
request_label(
    const struct exchange *ex, const struct request *r, char *buf, size_t size)
{
	const char *master =
	    exchange_master_name(r->master, "a disconnected master");
	char since[24], of[24], unit[ENDPOINT_NAME_MAX + 24];

	if (r->state == REQUEST_UNANSWERED) {
		snprintf(buf, size,
		    ex->protocol->units
			? "every unit to deal with %s's broadcast"
			: "the end of %s's request, which is not answered",
		    master);
		return;
	}
	format_time(now_ns() - r->sent_ns, since, sizeof(since));
	format_time(exchange_answer_timeout(ex), of, sizeof(of));
	if (ex->protocol->units)
		snprintf(buf, size, "%s's",
		    exchange_unit_text(ex, r, unit, sizeof(unit)));
	else
		snprintf(buf, size, "the");
	append(buf, size, " answer to %s, %s of %s", master, since, of);
	if (r->tries > 1)
		append(buf, size, ", sent %u times", r->tries);
	if (ex->nrequests > 1)
		append(buf, size, ", and %u other answer%s", ex->nrequests - 1,
		    ex->nrequests == 2 ? "" : "s");
}

void
exchange_label(const struct task *task, char *buf, size_t size)
{
	const struct exchange *ex = task->arg;
	const struct request *r = oldest_request(ex);
	const char *bus = ex->to->endpoint->conf->name;
	size_t bytes = 0, frames = 0;

	exchange_queued(ex, &bytes, &frames);
	if (r != NULL)
		request_label(ex, r, buf, size);
	else if (ex->rest_ns != 0)
		snprintf(buf, size, "the silence before the next request");
	else if (frames == 0)
		snprintf(buf, size, "nothing: no request for %s", bus);
	else if (!exchange_bus_clear(ex))
		snprintf(buf, size, "%s to accept the previous request", bus);
	else
		snprintf(buf, size, "a late answer, before %s is asked again",
		    ex->protocol->units ? "the unit" : bus);
	if (frames > 0)
		append(buf, size, " (%zu request%s more)", frames,
		    frames == 1 ? "" : "s");
}
