/*
 * http: web servers.
 */
#include "http.h"
#include "http_session.h"
#include "http_state.h"
#include "pulse.h"
#include "resource.h"

static int
session_start(
    struct control *c, int fd, struct tls_session *tls, const char *peer)
{
	return http_session_new(c, fd, tls, peer, resource_reply);
}

static void
end_all(struct control *c)
{
	struct http_session *s, *next;

	for (s = TAILQ_FIRST(&http_sessions); s != NULL; s = next) {
		next = TAILQ_NEXT(s, entry);
		if (s->control != c)
			continue;
		http_session_last(s);
		http_session_free(s);
	}
}

/*
 * A new client replaces the one that has been idle, or in the middle of its request, for
 * longest: so neither browsers, which keep connections open, nor clients that never
 * complete a request lock others out.
 */
static bool
make_room(void *arg)
{
	struct http_session *s, *oldest = NULL;
	const struct control *c = arg;

	TAILQ_FOREACH(s, &http_sessions, entry)
		if (s->control == c &&
		    (s->state == HTTP_IDLE || s->state == HTTP_READING ||
			s->state == HTTP_LINGERING) &&
		    (oldest == NULL || s->since_ns < oldest->since_ns))
			oldest = s;
	if (oldest == NULL)
		return false;
	http_session_close(oldest, "another client needs its place");
	return true;
}

static int
opened(struct control *c)
{
	return pulse_hold(c->bridge->base);
}

static void
closed(struct control *c)
{
	(void)c;
	pulse_release();
}

const struct control_ops http_ops = {
	.session_new = session_start,
	.end_all = end_all,
	.make_room = make_room,
	.full = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain"
		"\r\nConnection: close\r\n\r\ntoo many clients",
	.opened = opened,
	.closed = closed,
};
