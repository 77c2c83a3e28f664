/*
 * handshake: TLS handshakes.
 *
 * A handshake waits for its socket and its timeout with one event.  The timeout is that
 * of the whole handshake, however often the other side sends something.
 *
 * A step may take a millisecond, for a signature, so that there is at most one in each
 * pass of the loop: many clients that connect at once do not hold up the data path.
 */
#include <sys/socket.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "address.h"
#include "handshake.h"
#include "turns.h"

/* How often the input of a connection that has failed is read before it is closed. */
#define DISCARD_READS 16

struct handshake {
	TAILQ_ENTRY(handshake) entry;
	struct handshakes *list;
	struct tls_session *session;
	struct event *event;
	struct turn turn;
	uint64_t timeout_ns, until_ns;
	struct task task;
	char peer[ADDRESS_TEXT_MAX];
};

static void
label(const struct task *task, char *buf, size_t size)
{
	const struct handshake *h = task->arg;
	char left[24];

	snprintf(buf, size, "the TLS handshake of %s (for %s more)", h->peer,
	    format_time_left(h->until_ns, left, sizeof(left)));
}

/* why: NULL: it has succeeded. */
static void
handshake_free(struct handshake *h, const char *why)
{
	TAILQ_REMOVE(&h->list->list, h, entry);
	h->list->n--;
	turns_wait(&h->turn, false);
	turns_release();
	task_remove_why(&h->task, why);
	if (h->event != NULL)
		event_free(h->event);
	tls_session_free(h->session);
	free(h);
}

/* Closing a socket with unread input would reset the connection, and the other side
 * would not learn why (the alert). */
static void
close_socket(int fd)
{
	char waste[4096];

	shutdown(fd, SHUT_WR);
	for (unsigned i = 0; i < DISCARD_READS; i++)
		if (recv(fd, waste, sizeof(waste), MSG_DONTWAIT) <= 0)
			break;
	close(fd);
}

/* Ends the handshake; why: it has failed. */
static void
end(struct handshake *h, const char *why)
{
	struct handshakes *hs = h->list;
	struct tls_session *session = h->session;
	char peer[ADDRESS_TEXT_MAX], reason[TLS_REASON_MAX + 64];
	int fd = session->fd;

	snprintf(peer, sizeof(peer), "%s", h->peer);
	h->session = NULL;
	handshake_free(h, why);
	if (why == NULL) {
		hs->done(hs->arg, session, peer, NULL);
		return;
	}
	snprintf(reason, sizeof(reason), "%s", why);
	tls_session_free(session);
	close_socket(fd);
	hs->done(hs->arg, NULL, peer, reason);
}

static void
timed_out(struct handshake *h)
{
	char text[64], time[24];

	snprintf(text, sizeof(text), "it was not done within %s",
	    format_time(h->timeout_ns, time, sizeof(time)));
	end(h, text);
}

static void
cancel(struct task *task)
{
	end(task->arg, "cancelled on the control port");
}

static void on_event(evutil_socket_t, short, void *);

/* Waits for what the session needs next, for the rest of its time. */
static int
await(struct handshake *h)
{
	short what = EV_READ | (h->session->held > 0 ? EV_WRITE : 0);
	uint64_t now = now_ns();
	struct timeval tv =
	    to_timeval(h->until_ns > now ? h->until_ns - now : 0);

	if (h->event == NULL)
		h->event =
		    event_new(h->list->base, h->session->fd, what, on_event, h);
	else if (event_get_events(h->event) != what)
		event_assign(
		    h->event, h->list->base, h->session->fd, what, on_event, h);
	if (h->event == NULL || event_add(h->event, &tv) < 0)
		return -ENOMEM;
	TASK_WAIT(&h->task);
	return 0;
}

/* Performs the step that is possible now, or ends the handshake. */
static void
step(struct handshake *h)
{
	int r;

	if (now_ns() >= h->until_ns) {
		timed_out(h);
		return;
	}
	r = tls_library->handshake(h->session);
	if (r == -EAGAIN)
		r = await(h);
	else if (r == 0) {
		end(h, NULL);
		return;
	}
	if (r < 0)
		end(h, r == -EPROTO ? h->session->why : strerror(-r));
	else
		task_end(&h->task);
}

static void
run(struct turn *turn)
{
	struct handshake *h = CONTAINER_OF(turn, struct handshake, turn);
	uint64_t start = turn_begin();

	task_begin(&h->task);
	step(h);
	turn_end(start);
	turns_exhaust();
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	struct handshake *h = arg;

	(void)fd, (void)what;
	if (turns_free()) {
		run(&h->turn);
		return;
	}
	TASK_SET(&h->task, TASK_PAUSED);
	turns_wait(&h->turn, true);
}

void
handshakes_init(struct handshakes *hs)
{
	TAILQ_INIT(&hs->list);
	hs->n = 0;
}

int
handshake_start(struct handshakes *hs, const struct tls_context *context,
    int fd, const char *host, const char *peer, uint64_t timeout_ns)
{
	struct handshake *h = calloc(1, sizeof(*h));
	int r = -ENOMEM;

	if (h != NULL)
		r = tls_library->session_new(context, fd, host, &h->session);
	if (r == 0 && (r = turns_hold(hs->base)) < 0)
		tls_session_free(h->session);
	if (r < 0) {
		free(h);
		close(fd);
		return r;
	}
	h->turn.run = run;
	h->list = hs;
	h->timeout_ns = timeout_ns;
	h->until_ns = now_ns() + timeout_ns;
	snprintf(h->peer, sizeof(h->peer), "%s", peer);
	TAILQ_INSERT_TAIL(&hs->list, h, entry);
	hs->n++;
	task_add(&h->task, h, label, "%s.handshake#%u", hs->name, ++hs->next);
	h->task.cancel = cancel;
	if ((r = await(h)) < 0) {
		handshake_free(h, strerror(-r));
		close(fd);
		return r;
	}
	/* A client speaks first. */
	event_active(h->event, EV_WRITE, 1);
	return 0;
}

uint64_t
handshakes_memory(const struct handshakes *hs)
{
	const struct handshake *h;
	uint64_t n = 0;

	TAILQ_FOREACH(h, &hs->list, entry)
		n += h->session->memory + h->session->held;
	return n;
}

void
handshakes_cancel(struct handshakes *hs)
{
	struct handshake *h;
	int fd;

	while ((h = TAILQ_FIRST(&hs->list)) != NULL) {
		fd = h->session->fd;
		handshake_free(h, "cancelled");
		close(fd);
	}
}
