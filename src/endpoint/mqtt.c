/*
 * mqtt: an endpoint whose frames are messages of an MQTT broker (libmosquitto).
 *
 *	closed -> connecting (a thread) -> greeting -> open
 *
 * The endpoint is up when the broker has accepted the client.  Each connection has a client of
 * its own; what the broker did not confirm is still in the queue of the bridge, and is sent
 * again by the next one with the same origin, by which a receiver knows it.  So no state of the
 * library has to outlive a connection.
 *
 * The tasks:
 *
 *	NAME.broker	waits for the connection, and then for packets of the broker
 *	NAME.keepalive	waits for the time by which the broker has to accept the client, and
 *			then to look whether it is still there
 *	NAME.read, NAME.write	as those of any link
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "mqtt_parts.h"
#include "sandbox.h"

/* The keepalive of the library is looked at that often within its time. */
#define KEEPALIVE_LOOKS 4
/* A connection that ends within this time does so because of another one, as a rule. */
#define SOON_NS (2 * NSEC_PER_SEC)

static const struct mqtt_library *const lib = &mqtt_library;

/* --- tasks ------------------------------------------------------------------ */

static void
io_label(const struct task *task, char *buf, size_t size)
{
	const struct mqtt *t = task->arg;

	switch (t->stage) {
	case MQTT_CONNECTING:
		snprintf(
		    buf, size, "a connection to the broker %s", t->address);
		break;
	case MQTT_GREETING:
		snprintf(buf, size, "the broker %s to accept the client",
		    t->address);
		break;
	default:
		if (task->state == TASK_PAUSED)
			snprintf(buf, size,
			    "what was received from the broker %s to be"
			    " forwarded",
			    t->address);
		else if (t->flying > 0)
			snprintf(buf, size,
			    "the broker %s to confirm %u message%s, or to send"
			    " one",
			    t->address, t->flying, t->flying == 1 ? "" : "s");
		else
			snprintf(buf, size, "a packet from the broker %s",
			    t->address);
	}
}

static void
timer_label(const struct task *task, char *buf, size_t size)
{
	const struct mqtt *t = task->arg;
	char left[24];

	format_time_left(t->timer_at, left, sizeof(left));
	if (t->stage == MQTT_OPEN && t->keepalive_ns == 0)
		snprintf(buf, size, "nothing: the broker %s wants no keepalive",
		    t->address);
	else if (t->stage == MQTT_OPEN)
		snprintf(buf, size,
		    "%s to pass, to look whether the broker %s is still there",
		    left, t->address);
	else
		snprintf(buf, size,
		    "%s to pass, for the broker %s to accept the client", left,
		    t->address);
}

/* Sets the timer to ns from now; 0 stops it. */
static void
set_timer(struct mqtt *t, uint64_t ns)
{
	const struct timeval tv = to_timeval(ns);

	if (ns == 0) {
		event_del(t->timer);
		TASK_SET(&t->timer_task, TASK_IDLE);
		return;
	}
	t->timer_at = now_ns() + ns;
	event_add(t->timer, &tv);
	TASK_WAIT(&t->timer_task);
}

/* --- the end of a connection ------------------------------------------------- */

static void
release(struct mqtt *t, const char *why)
{
	if (t->client == NULL)
		return;
	if (t->stage == MQTT_OPEN && !t->ended)
		lib->disconnect(t->client->mosq);
	if (t->readable != NULL) {
		event_free(t->readable);
		event_free(t->writable);
		t->readable = t->writable = NULL;
	}
	if (t->fd >= 0)
		close(t->fd);
	t->fd = -1;
	mqtt_client_free(t->client);
	t->client = NULL;
	t->stage = MQTT_CLOSED;
	event_del(t->timer);
	task_remove_why(&t->io, why);
	task_remove_why(&t->timer_task, why);
}

/* The connection failed or was lost.  The next attempt is made with the next broker. */
static void
fail(struct mqtt *t, const char *why)
{
	if (t->stage != MQTT_OPEN)
		t->broker++;
	endpoint_lost(t->ep, why);
}

/* --- the broker has accepted the client --------------------------------------- */

static int start(struct mqtt *t);

static uint64_t
hash(const char *s)
{
	uint64_t h = 0xcbf29ce484222325;

	for (; *s != '\0'; s++)
		h = (h ^ (uint8_t)*s) * 0x100000001b3;
	return h;
}

/*
 * The broker has forgotten the session of other topics: connects again.  Mosquitto does not
 * save a session that began clean, and with 3.1.1 it ends with the connection.
 */
static void
connect_again(struct mqtt *t)
{
	int r;

	origins_set_note(t->ep->origins, hash(mqtt_conf_of(t)->subscribe));
	lib->disconnect(t->client->mosq);
	release(t, "the session was cleared");
	if ((r = start(t)) < 0)
		endpoint_lost(t->ep,
		    error_is_set(&t->ep->error) ? t->ep->error.text
						: strerror(-r));
}

static void
open_link(struct mqtt *t)
{
	const struct mqtt_conf *conf = mqtt_conf_of(t);
	struct link *link = &t->ep->link;

	t->stage = MQTT_OPEN;
	/* The log is only needed to explain why a connect fails: with a callback, the
	 * library formats a line for each packet. */
	lib->log_callback_set(t->client->mosq, NULL);
	set_timer(t, t->keepalive_ns / KEEPALIVE_LOOKS);
	if (conf->subscribe != NULL)
		mqtt_subscribe(t);
	if (!t->client->v5 && conf->version == MQTT_VERSION_5)
		log_to(LOG_NOTICE, ABOUT_ENDPOINT, t->ep->conf->name,
		    "the broker %s only speaks MQTT 3.1.1%s", t->address,
		    conf->encoding == MQTT_JSON
			? ""
			: ": repeated and missing messages are not recognised"
			  " without encoding = json");
	link_set_transport(link, &mqtt_link_ops, NULL);
	link->receive_only = conf->publish == NULL;
	if (endpoint_up(t->ep, -1, false) < 0)
		endpoint_lost(t->ep, "out of memory");
}

/* The broker has refused the client. */
static void
refused(struct mqtt *t)
{
	const struct mqtt_conf *conf = mqtt_conf_of(t);
	char why[LINK_WHY_MAX];

	if (t->client->v5 && conf->version == MQTT_VERSION_5 &&
	    t->refused == MQTT_RC_UNSUPPORTED_PROTOCOL_VERSION) {
		t->old |= 1u << t->broker;
		endpoint_lost(t->ep,
		    "the broker does not speak MQTT 5, 3.1.1 is tried next");
		return;
	}
	fail(t, mqtt_client_refusal(t->client, t->refused, why, sizeof(why)));
}

/* The connection has ended. */
static void
ended(struct mqtt *t)
{
	char why[NETWORK_ERROR_MAX];
	int code = t->ended_code;

	mqtt_client_reason(t->client, code, why, sizeof(why));
	if (t->stage == MQTT_GREETING &&
	    (code == MOSQ_ERR_CONN_LOST || code == MOSQ_ERR_NO_CONN) &&
	    t->client->native == NULL)
		append(why, sizeof(why),
		    " without an answer: is it a broker, and without TLS?");
	if (code == MQTT_RC_SESSION_TAKEN_OVER ||
	    (code == MOSQ_ERR_CONN_LOST && t->stage == MQTT_OPEN &&
		now_ns() - t->ep->since_ns < SOON_NS))
		append(why, sizeof(why),
		    "%s another client has connected with the same client_id",
		    code == MQTT_RC_SESSION_TAKEN_OVER ? ":" : "; perhaps");
	fail(t, why);
}

/* Handles what callbacks have reported.  The connection may be closed then. */
static void
settle(struct mqtt *t)
{
	struct link *link = &t->ep->link;
	unsigned ndone = t->ndone;

	if (t->accepted && t->stage == MQTT_GREETING && t->clearing) {
		connect_again(t);
		return;
	}
	if (t->accepted && t->stage == MQTT_GREETING)
		open_link(t);
	t->ndone = 0;
	for (unsigned i = 0; i < ndone; i++) {
		t->flying -= t->flying > 0;
		if (t->done[i].code >= 128)
			log_limited(&t->refusal, LOG_WARNING, ABOUT_ENDPOINT,
			    t->ep->conf->name,
			    "the broker refuses a message with the topic"
			    " '%s': %s",
			    mqtt_conf_of(t)->publish,
			    lib->reason_string(t->done[i].code));
		t->ep->owner->delivered(
		    link, (unsigned)t->done[i].mid, t->done[i].code);
	}
	if (ndone > 0 && link->up)
		t->ep->owner->writable(link);
	if (link->up && !STAILQ_EMPTY(&t->received) && t->reading == NULL)
		link_trigger(link, EV_READ);
	if (t->refused != 0)
		refused(t);
	else if (t->ended)
		ended(t);
	else
		mqtt_arm(t);
}

/* --- events ------------------------------------------------------------------ */

/* The result of a function of the library that may have ended the connection. */
static void
note(struct mqtt *t, int r)
{
	if (r == MOSQ_ERR_SUCCESS || t->ended)
		return;
	t->client->error = errno;
	t->ended = true;
	t->ended_code = r;
}

/*
 * A broker that uses Nagle's algorithm does not send the next confirmations before TCP has
 * acknowledged the last ones.
 */
static void
acknowledge(const struct mqtt *t)
{
	const int on = 1;

	if (t->fd >= 0)
		setsockopt(t->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct mqtt *t = arg;

	(void)fd, (void)what;
	if (t->stage == MQTT_OPEN && !STAILQ_EMPTY(&t->received)) {
		link_trigger(&t->ep->link, EV_READ);
		return;
	}
	task_begin(&t->io);
	t->sent = false;
	errno = 0;
	note(t, lib->loop_read(t->client->mosq, 1));
	settle(t);
	if (t->flying > 0 && !t->sent)
		acknowledge(t);
	task_end(&t->io);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct mqtt *t = arg;
	struct link *link = &t->ep->link;

	(void)fd, (void)what;
	task_begin(&t->io);
	errno = 0;
	note(t, lib->loop_write(t->client->mosq, 1));
	settle(t);
	if (link->up && !lib->want_write(t->client->mosq))
		t->ep->owner->writable(link);
	task_end(&t->io);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct mqtt *t = arg;
	char why[96];

	(void)fd, (void)what;
	if (t->client == NULL)
		return;
	task_begin(&t->timer_task);
	TASK_SET(&t->timer_task, TASK_IDLE);
	if (t->stage != MQTT_OPEN && !t->ended) {
		snprintf(why, sizeof(why), "%s",
		    t->stage == MQTT_CONNECTING ? "no answer from the host"
						: "no answer from the broker");
		fail(t, why);
	} else {
		/* While the broker is not read, its answer is not seen. */
		if (!t->ended && mqtt_reads(t))
			note(t, lib->loop_misc(t->client->mosq));
		if (!t->ended)
			set_timer(t, t->keepalive_ns / KEEPALIVE_LOOKS);
		settle(t);
	}
	task_end(&t->timer_task);
}

/* The library waits for the broker's CONNACK, or for the handshake of TLS. */
static int
adopt_socket(struct mqtt *t)
{
	struct event_base *base = t->ep->base;
	short persist = EV_PERSIST;

	t->fd = fcntl(lib->socket(t->client->mosq), F_DUPFD_CLOEXEC, 0);
	if (t->fd < 0)
		return -errno;
	t->readable = event_new(base, t->fd, EV_READ | persist, on_readable, t);
	t->writable =
	    event_new(base, t->fd, EV_WRITE | persist, on_writable, t);
	if (t->readable != NULL && t->writable != NULL)
		return 0;
	if (t->readable != NULL)
		event_free(t->readable);
	t->readable = NULL;
	return -ENOMEM;
}

static void
on_connected(struct mqtt *t)
{
	char why[NETWORK_ERROR_MAX];
	int r;

	task_begin(&t->io);
	if (t->client->result != MOSQ_ERR_SUCCESS)
		fail(t,
		    mqtt_client_reason(
			t->client, t->client->result, why, sizeof(why)));
	else if ((r = adopt_socket(t)) < 0)
		fail(t, strerror(-r));
	else {
		t->stage = MQTT_GREETING;
		mqtt_callbacks(t);
		mqtt_arm(t);
	}
	task_end(&t->io);
}

/* --- open and close ----------------------------------------------------------- */

/* The identity of frames, for as long as the endpoint exists. */
static int
open_origins(struct endpoint *ep)
{
	char name[ENDPOINT_NAME_MAX + 8];
	struct error err;
	int r;

	if (ep->origins != NULL)
		return 0;
	snprintf(name, sizeof(name), "mqtt-%s", ep->conf->name);
	r = origins_open(site_state_dir(), name, &ep->origins, &err);
	if (r < 0)
		return error_fail(&ep->error, r, "%s",
		    error_is_set(&err) ? err.text : strerror(-r));
	if (error_is_set(&err))
		log_to(LOG_NOTICE, ABOUT_ENDPOINT, ep->conf->name,
		    "after a restart repeated and missing messages are not"
		    " recognised (state_dir): %s",
		    err.text);
	return 0;
}

static struct mqtt *
mqtt_new(struct endpoint *ep)
{
	struct mqtt *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->ep = ep;
	t->fd = t->publishing = -1;
	STAILQ_INIT(&t->received);
	t->timer = evtimer_new(ep->base, on_timer, t);
	if (t->timer != NULL)
		return t;
	free(t);
	return NULL;
}

/* Room for the window. */
static int
reserve_done(struct mqtt *t)
{
	unsigned size = (unsigned)mqtt_conf_of(t)->window;
	struct mqtt_done *done;

	if (size <= t->done_size)
		return 0;
	if ((done = realloc(t->done, size * sizeof(*done))) == NULL)
		return -ENOMEM;
	t->done = done;
	t->done_size = size;
	return 0;
}

/* Chooses the broker; returns whether MQTT 5 is spoken with it. */
static bool
choose_broker(struct mqtt *t)
{
	const struct mqtt_conf *conf = mqtt_conf_of(t);
	struct mqtt_list list;

	mqtt_list(conf->broker, &list);
	t->broker %= list.n;
	snprintf(t->address, sizeof(t->address), "%.*s",
	    (int)list.word[t->broker].len, list.word[t->broker].at);
	snprintf(t->ep->address, sizeof(t->ep->address), "%.150s", t->address);
	return conf->version == MQTT_VERSION_5 && !(t->old >> t->broker & 1);
}

static void
reset(struct mqtt *t)
{
	const struct mqtt_conf *conf = mqtt_conf_of(t);

	t->stage = MQTT_CONNECTING;
	t->accepted = t->ended = t->session = false;
	t->refused = t->ended_code = 0;
	t->window = (unsigned)conf->window;
	t->flying = t->ndone = 0;
	t->corked = false;
	t->keepalive_ns = conf->keepalive;
	t->clearing = conf->subscribe != NULL && conf->session_expiry != 0 &&
	    hash(conf->subscribe) != origins_note(t->ep->origins);
}

/* Starts to connect. */
static int
start(struct mqtt *t)
{
	struct endpoint *ep = t->ep;
	const struct mqtt_conf *conf = mqtt_conf_of(t);
	bool v5 = choose_broker(t);
	int r;

	reset(t);
	r = mqtt_client_new(ep, t->address, v5,
	    conf->subscribe == NULL || conf->session_expiry == 0 || t->clearing,
	    &t->client, &ep->error);
	if (r < 0)
		return r;
	task_add(&t->io, t, io_label, "%s.broker", ep->conf->name);
	task_add(
	    &t->timer_task, t, timer_label, "%s.keepalive", ep->conf->name);
	t->timer_task.event = t->timer;
	r = mqtt_client_connect(t->client, ep->base, t, on_connected);
	if (r == -EAGAIN)
		error_set(&ep->error, "too many connects have not ended");
	if (r < 0)
		return r;
	TASK_WAIT(&t->io);
	set_timer(t, conf->connect_timeout);
	return 0;
}

static int
mqtt_open(struct endpoint *ep)
{
	struct mqtt *t = ep->impl;
	int r;

	if ((r = open_origins(ep)) < 0)
		return r;
	if (t == NULL && (t = ep->impl = mqtt_new(ep)) == NULL)
		return -ENOMEM;
	if (reserve_done(t) < 0)
		return -ENOMEM;
	return start(t);
}

static void
mqtt_close(struct endpoint *ep)
{
	struct mqtt *t = ep->impl;

	if (t != NULL)
		release(t, "the connection was closed");
}

static void
mqtt_free(struct endpoint *ep)
{
	struct mqtt *t = ep->impl;

	origins_close(ep->origins);
	ep->origins = NULL;
	ep->impl = NULL;
	if (t == NULL)
		return;
	mqtt_forget(t);
	event_free(t->timer);
	free(t->decoded.data);
	free(t->encoded.data);
	free(t->done);
	free(t);
}

const struct endpoint_ops endpoint_mqtt = {
	.type = "mqtt",
	.keys = mqtt_keys,
	.conf_size = sizeof(struct mqtt_conf),
	.main_key = "broker",
	.datagram = MQTT_FRAME_MAX,
	.confirms = true,
	.check = mqtt_check,
	.load = mqtt_load_files,
	.warn = mqtt_warn,
	.claim = mqtt_claim,
	.lacks = mqtt_lacks,
	.open = mqtt_open,
	.close = mqtt_close,
	.free = mqtt_free,
	.topic = mqtt_topic,
};
