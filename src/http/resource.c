/*
 * resource: what a web server has, by path, and who may ask for it.
 */
#include <string.h>

#include <event2/buffer.h>

#include "api.h"
#include "bridge.h"
#include "http_access.h"
#include "http_reply.h"
#include "metrics.h"
#include "page.h"
#include "resource.h"
#include "http_stream.h"

/* The maximum number of endpoints that /healthz names. */
#define HEALTH_NAMES 20

static const char *
node_health(const struct node *node)
{
	const struct endpoint *ep = node->endpoint;

	if (!ep->conf->required)
		return NULL;
	if (ep->state != ENDPOINT_UP)
		return endpoint_state_name(ep->state);
	return ep->paused ? "paused" : NULL;
}

/* That there is a reply at all shows that the loop turns. */
static void
health(struct http_session *s)
{
	const struct bridge *b = s->client.bridge;
	const char *state;
	unsigned bad = 0;

	for (unsigned i = 0; i < b->nnodes; i++) {
		if ((state = node_health(b->node[i])) == NULL)
			continue;
		if (bad++ < HEALTH_NAMES)
			evbuffer_add_printf(s->out, "%s is %s\n",
			    b->node[i]->endpoint->conf->name, state);
	}
	if (bad > HEALTH_NAMES)
		evbuffer_add_printf(
		    s->out, "and %u more\n", bad - HEALTH_NAMES);
	if (bad == 0)
		evbuffer_add_printf(s->out, "ok\n");
	http_reply_whole(
	    s, bad == 0 ? 200 : 503, "text/plain; charset=utf-8", "");
}

struct resource {
	const char *path;
	void (*reply)(struct http_session *s);
	bool open; /* without the token: it tells nothing, or has no data */
	bool link; /* pages of others may have links to it */
};

static const struct resource resources[] = {
	{ "/", page_reply, .open = true, .link = true },
	{ "/healthz", health, .open = true },
	{ "/metrics", metrics_reply, .open = false },
	{ "/api/stream", stream_reply, .open = false },
};

static const struct resource *
find_resource(const char *path)
{
	for (size_t i = 0; i < NELEM(resources); i++)
		if (strcmp(resources[i].path, path) == 0)
			return &resources[i];
	return NULL;
}

static void
refuse(struct http_session *s, const char *why)
{
	log_limited(&s->control->refused, LOG_WARNING, ABOUT_CONTROL,
	    s->control->conf.name, "%s refused (%.100s): %s", s->address,
	    s->request->path, why);
	http_reply_error(s, 403, why);
}

void
resource_reply(struct http_session *s)
{
	const struct control_conf *conf = &s->control->conf;
	struct request *r = s->request;
	const struct resource *found = find_resource(r->path);
	bool api = found == NULL && request_is_api(r);
	const char *why;

	if (found != NULL && found->link && r->origin == NULL)
		r->fetch_site = NULL;
	why = access_refused(
	    r, conf->hosts, found != NULL && found->open ? NULL : conf->token);
	if (why == NULL && r->method == METHOD_POST)
		why = access_change_refused(r, conf->access == ACCESS_FULL);
	if (why != NULL)
		refuse(s, why);
	else if (api)
		api_reply(s);
	else if (found == NULL)
		http_reply_error(s, 404,
		    "there are /, /metrics, /healthz and /api/COMMAND here");
	else if (r->method == METHOD_POST)
		http_reply_error(s, 405, "this is read by GET");
	else
		found->reply(s);
}
