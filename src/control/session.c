/*
 * session: reads lines from a client, and writes replies.
 *
 * session_update() alone decides from a session's state what it waits for:
 *
 * task   waits for
 * read   a command (the bufferevent reads); paused while there is more to do,
 *        until its next turn, or until the client has read its replies, while
 *        answers are awaited, which are tasks of their own, and during a scan
 *        of a client that sends no more
 * write  the client to read its replies (the bufferevent writes), or, while
 *        it lingers, the client to close (the timer)
 *
 * Therefore a task has at most one event.  The replies of a turn are collected in the
 * reply of the client and passed to the bufferevent at the end of the turn.
 *
 * Turns.  A session works in turns of TURN_NS, which turns.c schedules so that all
 * sessions together do not delay the bridge.  A step of a turn executes the next line, or
 * produces the next piece of a reply, or shows some of the frames that a watch has
 * collected.  While more than CONTROL_OUTPUT_MARK is queued for the client, or
 * CLIENT_FRAMES_MAX of a watch, the session gets no turn, so that a client that does not
 * read needs no more memory than that and a piece.
 *
 * Closing.  A client that shuts down its sending direction (nc -N) gets all replies and
 * is closed then.  A client that the daemon closes first gets the reason; the session
 * then lingers: input is discarded for a moment, because a close with unread input would
 * reset the connection, and the last reply could be lost.  Nothing is freed inside a
 * callback of the bufferevent or a tap: session_close() defers that to the timer's
 * callback.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "command.h"
#include "names.h"
#include "session.h"

#define LINGER_SECONDS 1

/* --- labels --------------------------------------------------------------- */

static void
read_label(const struct task *task, char *buf, size_t size)
{
	const struct session *s = task->arg;

	if (s->lingering)
		snprintf(buf, size, "%s to close", s->address);
	else if (s->client.asking)
		command_ask_label(&s->client, buf, size);
	else if (command_scan_awaits(&s->client))
		command_scan_label(&s->client, buf, size);
	else if (s->client.scan != NULL && !s->turn.waiting)
		snprintf(buf, size,
		    "%s to read its replies, or to end its scan", s->address);
	else if (command_blocks(&s->client))
		snprintf(buf, size, "%llu more lines for the %s of %s",
		    (unsigned long long)s->client.watch.left,
		    s->client.watch.events ? "events" : "watch", s->address);
	else if (s->ended || s->client.closing)
		snprintf(buf, size, "nothing more from %s", s->address);
	else if (s->client.reloading)
		snprintf(buf, size, "the end of the reload that %s asked for",
		    s->address);
	else if (s->client.stopping)
		snprintf(buf, size, "the end of the capture that %s asked for",
		    s->address);
	else if (s->client.watching)
		snprintf(buf, size, "%s to end its %s", s->address,
		    s->client.watch.events ? "events" : "watch");
	else if (s->turn.waiting)
		snprintf(buf, size, "its turn to go on with the commands of %s",
		    s->address);
	else if (task->state == TASK_PAUSED)
		snprintf(
		    buf, size, "%s to read the replies it has", s->address);
	else
		snprintf(buf, size, "a command from %s", s->address);
}

static void
write_label(const struct task *task, char *buf, size_t size)
{
	const struct session *s = task->arg;
	size_t waits = replies_length(s);
	char text[24];

	if (s->lingering)
		snprintf(buf, size, "%s to close, for %u s at most", s->address,
		    LINGER_SECONDS);
	else if (waits > 0)
		snprintf(buf, size, "%s to read its replies (%s bytes wait)",
		    s->address, format_size(waits, text, sizeof(text)));
	else
		snprintf(buf, size, "nothing to write to %s", s->address);
}

/* --- sessions ------------------------------------------------------------ */

/*
 * Closes the session; it is freed in a deferred step.  why: NULL: its commands are done.
 */
static void
session_close(struct session *s, const char *why)
{
	if (s->client.closed)
		return;
	s->client.closed = true;
	snprintf(s->why, sizeof(s->why), "%s", why != NULL ? why : "");
	log_to(LOG_DEBUG, ABOUT_CONTROL, s->name,
	    "the session of %s ended after %llu commands (%s)", s->address,
	    (unsigned long long)s->commands, why != NULL ? why : "done");
	bufferevent_disable(s->bev, EV_READ | EV_WRITE);
	turns_wait(&s->turn, false);
	TASK_SET(&s->read, TASK_IDLE);
	TASK_SET(&s->write, TASK_IDLE);
	event_del(s->timer);
	event_active(s->timer, EV_TIMEOUT, 1);
}

/* Closes the session when all is sent, or lets it linger; true when it was closed. */
static bool
session_finish(struct session *s)
{
	static const struct timeval wait = { LINGER_SECONDS, 0 };

	if (replies_length(s) > 0 || s->lingering)
		return false;
	if (s->ended) {
		session_close(s, NULL);
		return true;
	}
	s->lingering = true;
	if (s->tls != NULL)
		tls_library->finish(s->tls);
	shutdown(bufferevent_getfd(s->bev), SHUT_WR);
	event_add(s->timer, &wait);
	return false;
}

/* Whether there is something to do; incomplete lines do not count. */
static bool
session_busy(struct session *s)
{
	if (s->client.closing)
		return false;
	if (command_blocks(&s->client))
		return command_busy(&s->client);
	return command_busy(&s->client) || line_length(s) >= 0 ||
	    (s->client.watching && s->ended);
}

static void
session_read(struct session *s, bool on)
{
	if (!on)
		bufferevent_disable(s->bev, EV_READ);
	else if (!(bufferevent_get_enabled(s->bev) & EV_READ) &&
	    bufferevent_enable(s->bev, EV_READ) < 0)
		session_close(s, strerror(errno));
}

/* A client that is not read may disconnect: checks that after a second. */
static void
session_look(struct session *s)
{
	static const struct timeval second = { 1, 0 };

	if (!event_pending(s->timer, EV_TIMEOUT, NULL))
		event_add(s->timer, &second);
}

/* Whether the client has closed its connection in both directions. */
static bool
session_is_over(const struct session *s)
{
	struct pollfd p = { .fd = bufferevent_getfd(s->bev) };

	return command_blocks(&s->client) && poll(&p, 1, 0) == 1 &&
	    (p.revents & (POLLHUP | POLLERR)) != 0;
}

static void
session_update(struct session *s)
{
	bool over, more, reading, blocks = command_blocks(&s->client);
	bool continues = command_continues(&s->client) || blocks;

	if (s->client.closed)
		return;
	if (replies_length(s) > 0 || s->lingering)
		TASK_WAIT(&s->write);
	else
		TASK_SET(&s->write, TASK_IDLE);
	if (client_waits(&s->client)) {
		bufferevent_disable(s->bev, EV_READ);
		turns_wait(&s->turn, false);
		TASK_SET(&s->read, TASK_PAUSED);
		return;
	}
	more = session_busy(s);
	over = replies_full(s);
	turns_wait(&s->turn, more && !over);
	if ((s->client.closing ||
		(s->ended && !more && s->client.scan == NULL && !blocks)) &&
	    session_finish(s))
		return;
	/* A line ends a watch or a scan, even if replies are queued. */
	reading = !s->ended &&
	    (s->lingering ||
		(!s->client.closing && (continues || (!over && !more))));
	if (reading && continues)
		reading = line_length(s) < 0;
	session_read(s, reading);
	if (s->client.closed) /* Reading failed; the timer frees the session. */
		return;
	if (blocks && !reading)
		session_look(s);
	else if (!s->lingering)
		event_del(s->timer);
	if (reading)
		TASK_WAIT(&s->read);
	else
		TASK_SET(&s->read,
		    !s->client.closing &&
			    (over || more || s->client.scan != NULL)
			? TASK_PAUSED
			: TASK_IDLE);
	if (s->lingering)
		TASK_WAIT(&s->write);
}

/* Performs one step; false when there is none. */
static bool
session_step(struct session *s)
{
	if (s->client.closing || s->client.closed || client_waits(&s->client))
		return false;
	if (command_continues(&s->client) &&
	    ((s->ended && s->client.watching) || line_length(s) >= 0)) {
		command_end(&s->client);
		return true;
	}
	if (command_step(&s->client))
		return true;
	if (command_blocks(&s->client))
		return false;
	return !command_continues(&s->client) && line_next(s);
}

/*
 * Performs as many steps as one turn allows, but at least two short commands, so that two
 * values can be read at the same moment.
 */
static void
session_turn(struct session *s)
{
	uint64_t start = turn_begin();
	struct evbuffer *in = bufferevent_get_input(s->bev);

	for (unsigned n = 1; !replies_full(s) && session_step(s); n++)
		if (now_ns() - start >= TURN_NS &&
		    (n > 1 || s->client.call != NULL))
			break;
	if (s->client.closing) {
		evbuffer_drain(in, evbuffer_get_length(in));
		s->searched = 0;
	}
	if (replies_send(s) < 0)
		session_close(s, strerror(errno));
	session_update(s);
	turn_end(start);
}

/* Performs a turn immediately if no other session waits for one, or requests one. */
static void
session_try(struct session *s)
{
	if (turns_free())
		session_turn(s);
	else
		session_update(s);
}

/* Performs the turn of the session. */
static void
session_go_on(struct turn *turn)
{
	struct session *s = CONTAINER_OF(turn, struct session, turn);

	task_begin(&s->read);
	session_turn(s);
	task_end(&s->read);
}

static void
on_read(struct bufferevent *bev, void *arg)
{
	struct session *s = arg;

	(void)bev;
	task_begin(&s->read);
	session_try(s);
	task_end(&s->read);
}

static void
on_write(struct bufferevent *bev, void *arg)
{
	struct session *s = arg;

	(void)bev;
	task_begin(&s->write);
	session_update(s);
	task_end(&s->write);
}

static void
on_event(struct bufferevent *bev, short what, void *arg)
{
	struct session *s = arg;

	(void)bev;
	if (!(what & BEV_EVENT_EOF)) {
		session_close(s, tls_event_reason(EVUTIL_SOCKET_ERROR()));
		return;
	}
	task_begin(&s->read);
	s->ended = true;
	/* A bufferevent with TLS stops writing, too. */
	if (s->tls != NULL && replies_length(s) > 0)
		bufferevent_enable(s->bev, EV_WRITE);
	if (s->lingering)
		session_close(s, NULL);
	else
		session_try(s);
	task_end(&s->read);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;

	(void)fd, (void)what;
	if (s->client.closed) {
		session_free(s);
	} else if (s->lingering) {
		task_begin(&s->write);
		session_close(s, NULL);
		task_end(&s->write);
	} else if (session_is_over(s)) {
		session_close(s, "disconnected");
	} else {
		task_begin(&s->read);
		session_try(s);
		task_end(&s->read);
	}
}

/* A session that cancels itself gets its "OK" first. */
static void
session_cancel(struct task *task)
{
	struct session *s = task->arg;

	if (s->client.busy)
		s->client.closing = true;
	else
		session_close(s, "cancelled on a control port");
}

void
session_free(struct session *s)
{
	const char *why = s->why[0] != '\0' ? s->why : NULL;
	struct control *c = s->control;

	command_forget(&s->client);
	turns_wait(&s->turn, false);
	turns_release();
	task_remove_why(&s->read, why);
	task_remove_why(&s->write, why);
	if (s->bev != NULL && s->tls != NULL)
		tls_library->finish(s->tls);
	if (s->bev != NULL)
		bufferevent_free(s->bev);
	if (s->timer != NULL)
		event_free(s->timer);
	if (s->client.reply != NULL)
		evbuffer_free(s->client.reply);
	TAILQ_REMOVE(&c->sessions, s, entry);
	tls_session_free(s->tls);
	c->nsessions--;
	control_count(c);
	free(s);
}

/* --- callbacks of the commands -------------------------------------------- */

static void
client_wake(struct client *client)
{
	struct session *s = CONTAINER_OF(client, struct session, client);

	if (!client->closed && !client->closing && !replies_full(s))
		turns_wait(&s->turn, true);
}

static void
client_close(struct client *client, const char *why)
{
	session_close(CONTAINER_OF(client, struct session, client), why);
}

static const struct client_ops client_ops = {
	.wake = client_wake,
	.close = client_close,
	.taken = replies_taken,
};

/* --- creating a session --------------------------------------------------- */

/* The client's address; for a Unix socket also the process ID. */
static void
name_client(struct session *s, int fd, const char *peer)
{
	struct ucred cred = { .pid = 0 };
	socklen_t len = sizeof(cred);

	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len);
	snprintf(s->address, sizeof(s->address), "%s", peer);
	if (cred.pid > 0)
		append(s->address, sizeof(s->address), " (process %d)",
		    (int)cred.pid);
}

static void
make_bufferevent(struct session *s, int fd)
{
	struct event_base *base = s->control->bridge->base;

	if (s->tls != NULL)
		s->bev = tls_library->bufferevent(s->tls, base);
	else
		s->bev =
		    bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (s->bev == NULL)
		close(fd);
}

/* With TLS, access is full for the certificates that 'full' names. */
static bool
has_full_access(const struct control *c, const struct tls_session *tls)
{
	if (tls == NULL)
		return c->conf.access == ACCESS_FULL;
	return c->conf.full != NULL &&
	    tls_session_is_in(tls, list_has, c->conf.full);
}

static bool
is_local(int fd)
{
	struct sockaddr_storage ss = { 0 };
	socklen_t len = sizeof(ss);

	return getsockname(fd, (struct sockaddr *)&ss, &len) == 0 &&
	    ss.ss_family == AF_UNIX;
}

int
session_new(
    struct control *c, int fd, struct tls_session *tls, const char *peer)
{
	struct session *s = calloc(1, sizeof(*s));
	int on = 1;

	if (s == NULL || turns_hold(c->bridge->base) < 0) {
		free(s);
		tls_session_free(tls);
		close(fd);
		return -ENOMEM;
	}
	s->control = c;
	s->tls = tls;
	s->turn.run = session_go_on;
	s->client = (struct client){
		.ops = &client_ops,
		.bridge = c->bridge,
		.hooks = c->hooks,
		.name = s->name,
		.address = s->address,
		.stall_timeout = c->conf.stall_timeout,
		.full = has_full_access(c, tls),
		.by_name = tls != NULL,
		.remote = !is_local(fd),
	};
	snprintf(
	    s->name, sizeof(s->name), "%s.client#%u", c->conf.name, ++c->next);
	name_client(s, fd, peer);
	TAILQ_INSERT_TAIL(&c->sessions, s, entry);
	c->nsessions++;
	control_count(c);
	s->client.reply = evbuffer_new();
	s->timer = evtimer_new(c->bridge->base, on_timer, s);
	make_bufferevent(s, fd);
	if (s->bev == NULL || s->client.reply == NULL || s->timer == NULL) {
		session_free(s);
		return -ENOMEM;
	}
	/* So that a client whose machine has crashed does not occupy its slot forever. */
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	task_add(&s->read, s, read_label, "%s.read", s->name);
	task_add(&s->write, s, write_label, "%s.write", s->name);
	s->read.cancel = s->write.cancel = session_cancel;
	bufferevent_setcb(s->bev, on_read, on_write, on_event, s);
	/* Writes the output of a watch with one call. */
	bufferevent_set_max_single_write(s->bev, CLIENT_FRAMES_MAX);
	bufferevent_setwatermark(s->bev, EV_WRITE, CONTROL_OUTPUT_MARK / 2, 0);
	session_update(s);
	return 0;
}

static void
sessions_end(struct control *c)
{
	struct session *s;

	while ((s = TAILQ_FIRST(&c->sessions)) != NULL) {
		replies_last(s);
		session_free(s);
	}
}

const struct control_ops session_ops = {
	.session_new = session_new,
	.end_all = sessions_end,
	.full = "ERR too many clients",
};
