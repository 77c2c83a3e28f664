/*
 * mqtt_link: messages from and to a broker, as the frames of a link.
 *
 * A callback of the library only notes what it reports; mqtt.c handles that when the
 * library has returned.  So nothing is forwarded, closed or freed inside of the library.
 *
 * In.  While a message waits to be forwarded, or the link is not read because a destination is
 * full, the socket is not read either, if there is a subscription.  Then the broker keeps
 * what is published.  Only in the second case libevent does not watch the socket: a message
 * that waits is forwarded in the next pass of the loop.
 *
 * Out.  The owner passes on frames (submit) as long as there is room in the window, and keeps
 * them until they are reported as delivered: with QoS 0 when the message was written to the
 * socket, otherwise when the broker has confirmed it.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "mqtt_parts.h"

static const struct mqtt_library *const lib = &mqtt_library;

static struct mqtt *
of(void *arg)
{
	return ((struct mqtt_client *)arg)->mqtt;
}

/* --- callbacks of the library ------------------------------------------------ */

static void
on_connect(struct mosquitto *mosq, void *arg, int code, int flags,
    const mosquitto_property *properties)
{
	struct mqtt *t = of(arg);
	uint16_t value;

	(void)mosq;
	t->refused = code;
	t->accepted = code == 0;
	t->session = (flags & 1) != 0;
	if (lib->property_read_int16(
		properties, MQTT_PROP_RECEIVE_MAXIMUM, &value, false) != NULL &&
	    value > 0)
		t->window = MIN(t->window, (unsigned)value);
	if (lib->property_read_int16(
		properties, MQTT_PROP_SERVER_KEEP_ALIVE, &value, false) != NULL)
		t->keepalive_ns = value * NSEC_PER_SEC;
}

static void
on_disconnect(struct mosquitto *mosq, void *arg, int code,
    const mosquitto_property *properties)
{
	struct mqtt *t = of(arg);

	(void)mosq, (void)properties;
	if (t->ended)
		return;
	t->ended = true;
	t->ended_code = code;
}

static void
on_publish(struct mosquitto *mosq, void *arg, int mid, int code,
    const mosquitto_property *properties)
{
	struct mqtt *t = of(arg);

	(void)mosq, (void)properties;
	if (mid == t->publishing) {
		t->published = true;
		return;
	}
	if (t->ndone < t->done_size)
		t->done[t->ndone++] = (struct mqtt_done){ mid, code };
}

static void
on_subscribe(struct mosquitto *mosq, void *arg, int mid, int n,
    const int *granted, const mosquitto_property *properties)
{
	struct mqtt *t = of(arg);
	const char *why;

	(void)mosq, (void)mid, (void)properties;
	for (int i = 0; i < n; i++) {
		if (granted[i] < 128)
			continue;
		why = t->client->v5 ? lib->reason_string(granted[i])
				    : "it does not say why";
		log_to(LOG_WARNING, ABOUT_ENDPOINT, t->ep->conf->name,
		    "the broker %s refuses a subscription of '%s': %s",
		    t->address, mqtt_conf_of(t)->subscribe, why);
	}
}

/* Whether the message carries an origin. */
static bool
find_origin(const mosquitto_property *properties, struct origin_name *ret)
{
	const mosquitto_property *p = properties;
	char *name, *value;
	bool found = false, next = false;

	while (!found &&
	    (p = lib->property_read_string_pair(
		 p, MQTT_PROP_USER_PROPERTY, &name, &value, next)) != NULL) {
		found = strcmp(name, MQTT_ORIGIN) == 0 &&
		    mqtt_origin_parse(value, ret) == 0;
		free(name);
		free(value);
		next = true;
	}
	return found;
}

/* The message cannot be used. */
static void
refuse(struct mqtt *t, const char *topic, const char *why)
{
	char shown[128];

	t->ep->refused++;
	printable(topic, shown, sizeof(shown));
	log_limited(&t->malformed, LOG_WARNING, ABOUT_ENDPOINT,
	    t->ep->conf->name, "a message with the topic '%s' is dropped: %s",
	    shown, why);
}

static void
keep(struct mqtt *t, const char *topic)
{
	size_t len = t->decoded.len, topic_len = strlen(topic);
	struct mqtt_received *m = malloc(sizeof(*m) + len + topic_len);

	if (m == NULL) {
		refuse(t, topic, "out of memory");
		return;
	}
	m->len = len;
	m->topic_len = topic_len;
	memcpy(m->data, t->decoded.data, len);
	memcpy(m->data + len, topic, topic_len);
	STAILQ_INSERT_TAIL(&t->received, m, entry);
}

static void
on_message(struct mosquitto *mosq, void *arg, const struct mosquitto_message *m,
    const mosquitto_property *properties)
{
	struct mqtt *t = of(arg);
	enum mqtt_encoding encoding =
	    (enum mqtt_encoding)mqtt_conf_of(t)->encoding;
	struct origin_name name;
	bool named;

	(void)mosq;
	if (mqtt_decode(encoding, m->payload, (size_t)m->payloadlen,
		&t->decoded, &name, &named) < 0) {
		refuse(t, m->topic, "its payload is not as 'encoding' says");
		return;
	}
	if (find_origin(properties, &name))
		named = true;
	if (named &&
	    origins_received(t->ep->origins, &name, t->ungapped) != ORIGIN_NEW)
		return;
	if (t->decoded.len > MQTT_FRAME_MAX)
		refuse(t, m->topic, "it is too long (60K)");
	else if (t->decoded.len > 0)
		keep(t, m->topic);
}

void
mqtt_callbacks(struct mqtt *t)
{
	struct mosquitto *mosq = t->client->mosq;

	lib->connect_v5_callback_set(mosq, on_connect);
	lib->disconnect_v5_callback_set(mosq, on_disconnect);
	lib->publish_v5_callback_set(mosq, on_publish);
	lib->subscribe_v5_callback_set(mosq, on_subscribe);
	lib->message_v5_callback_set(mosq, on_message);
}

/* --- in ---------------------------------------------------------------------- */

/*
 * With MQTT 5 the broker does not send back what this client publishes, and sends retained
 * messages only for a new subscription.
 */
static int
subscribe_options(const struct mqtt *t, bool shared)
{
	int options = 0;

	if (!t->client->v5)
		return 0;
	if (t->session)
		options |= MQTT_SUB_OPT_SEND_RETAIN_NEW;
	if (!shared && mqtt_conf_of(t)->publish != NULL)
		options |= MQTT_SUB_OPT_NO_LOCAL;
	return options;
}

void
mqtt_subscribe(struct mqtt *t)
{
	const struct mqtt_conf *conf = mqtt_conf_of(t);
	const struct mqtt_names names = { .host = site_host() };
	char topic[MQTT_TOPIC_MAX];
	struct mqtt_list list;
	bool shared;

	if (!t->client->v5 && t->session)
		return;
	mqtt_list(conf->subscribe, &list);
	t->ungapped = false;
	for (unsigned i = 0; i < list.n; i++) {
		mqtt_expand(list.word[i].at, list.word[i].len, &names, topic,
		    sizeof(topic));
		shared = strncmp(topic, "$share/", 7) == 0;
		t->ungapped |= shared;
		/* What is repeated is recognised; a third exchange for each message would
		 * not outlive this process. */
		lib->subscribe_v5(t->client->mosq, NULL, topic,
		    MIN((int)conf->qos, 1), subscribe_options(t, shared), NULL);
	}
}

bool
mqtt_reads(const struct mqtt *t)
{
	if (t->stage != MQTT_OPEN || mqtt_conf_of(t)->subscribe == NULL)
		return true;
	return t->ep->link.reading;
}

void
mqtt_arm(struct mqtt *t)
{
	if (t->readable == NULL)
		return;
	if (mqtt_reads(t)) {
		event_add(t->readable, NULL);
		TASK_WAIT(&t->io);
	} else {
		event_del(t->readable);
		TASK_SET(&t->io, TASK_PAUSED);
	}
	if (lib->want_write(t->client->mosq))
		event_add(t->writable, NULL);
	else
		event_del(t->writable);
}

static ssize_t
mqtt_read(struct link *link, void *buf, size_t size)
{
	struct mqtt *t = link->endpoint->impl;
	struct mqtt_received *m = STAILQ_FIRST(&t->received);
	size_t len;

	if (t->reading != NULL) {
		STAILQ_REMOVE_HEAD(&t->received, entry);
		free(m);
		t->reading = NULL;
		m = STAILQ_FIRST(&t->received);
	}
	if (m == NULL) {
		mqtt_arm(t);
		return -EAGAIN;
	}
	len = MIN(m->len, size);
	memcpy(buf, m->data, len);
	/* Its topic is valid until the next read. */
	t->reading = m;
	link_trigger(link, EV_READ);
	return (ssize_t)len;
}

/* --- out --------------------------------------------------------------------- */

/* All output is submitted. */
static ssize_t
mqtt_write(struct link *link, const void *data, size_t len)
{
	(void)link, (void)data, (void)len;
	return -EAGAIN;
}

/* The topic for the frame; -EMSGSIZE: there is none. */
static int
topic_of(const struct mqtt *t, const struct origin *origin, char *buf)
{
	const struct mqtt_conf *conf = mqtt_conf_of(t);
	const char *name = t->ep->conf->name;
	const struct mqtt_names names = { .host = site_host(),
		.endpoint = origin != NULL ? origin->endpoint : name,
		.topic = origin != NULL ? origin->topic : "",
		.topic_len = origin != NULL ? origin->topic_len : 0 };
	long n = mqtt_expand(
	    conf->publish, strlen(conf->publish), &names, buf, MQTT_TOPIC_MAX);

	return n <= 0 ||
		lib->pub_topic_check2(buf, (size_t)n) != MOSQ_ERR_SUCCESS
	    ? -EMSGSIZE
	    : 0;
}

static mosquitto_property *
properties_of(const struct mqtt *t, const struct origin *origin)
{
	const struct mqtt_conf *conf = mqtt_conf_of(t);
	mosquitto_property *properties = NULL;
	char text[MQTT_ORIGIN_MAX];

	if (!t->client->v5)
		return NULL;
	if (origin != NULL)
		lib->property_add_string_pair(&properties,
		    MQTT_PROP_USER_PROPERTY, MQTT_ORIGIN,
		    mqtt_origin_print(origin, site_host(), text));
	if (conf->message_expiry != 0)
		lib->property_add_int32(&properties,
		    MQTT_PROP_MESSAGE_EXPIRY_INTERVAL,
		    (uint32_t)(conf->message_expiry / NSEC_PER_SEC));
	return properties;
}

/* The result of a publish for the owner. */
static int
submitted(struct mqtt *t, int r)
{
	switch (r) {
	case MOSQ_ERR_SUCCESS:
		if (t->published)
			return 1;
		t->flying++;
		return 0;
	case MOSQ_ERR_NOMEM:
		return -ENOMEM;
	case MOSQ_ERR_OVERSIZE_PACKET:
	case MOSQ_ERR_PAYLOAD_SIZE:
	case MOSQ_ERR_MALFORMED_UTF8:
	case MOSQ_ERR_INVAL:
	case MOSQ_ERR_QOS_NOT_SUPPORTED:
	case MOSQ_ERR_RETAIN_NOT_SUPPORTED:
		log_limited(&t->refusal, LOG_WARNING, ABOUT_ENDPOINT,
		    t->ep->conf->name, "a frame cannot be published: %s",
		    lib->strerror(r));
		return -EMSGSIZE;
	default:
		/* It cannot be called from here, as the connection ends. */
		t->client->error = errno;
		if (!t->ended)
			t->ended_code = r;
		t->ended = true;
		event_active(t->timer, EV_TIMEOUT, 1);
		return -EAGAIN;
	}
}

/* The kernel collects messages that follow each other. */
static void
cork(struct mqtt *t, bool on)
{
	const int value = on;

	if (t->corked == on)
		return;
	t->corked = on;
	setsockopt(t->fd, IPPROTO_TCP, TCP_CORK, &value, sizeof(value));
}

static int
publish(struct mqtt *t, const uint8_t *data, size_t len,
    const struct origin *origin, unsigned *ret_id)
{
	const struct mqtt_conf *conf = mqtt_conf_of(t);
	struct mosquitto *mosq = t->client->mosq;
	mosquitto_property *properties;
	char topic[MQTT_TOPIC_MAX];
	int r;

	if ((r = topic_of(t, origin, topic)) < 0)
		return r;
	if (conf->encoding != MQTT_RAW) {
		if ((r = mqtt_encode((enum mqtt_encoding)conf->encoding, data,
			 len, origin, site_host(), &t->encoded)) < 0)
			return r;
		data = t->encoded.data;
		len = t->encoded.len;
	}
	properties = properties_of(t, origin);
	t->published = false;
	t->sent = true;
	r = lib->publish_v5(mosq, &t->publishing, topic, (int)len, data,
	    (int)conf->qos, conf->retain, properties);
	*ret_id = (unsigned)t->publishing;
	t->publishing = -1;
	lib->property_free_all(&properties);
	return submitted(t, r);
}

static int
mqtt_submit(struct link *link, const uint8_t *data, size_t len,
    const struct origin *origin, bool more, unsigned *ret_id)
{
	struct mqtt *t = link->endpoint->impl;
	int r = -EAGAIN;

	if (more)
		cork(t, true);
	if (!t->ended && t->flying < t->window &&
	    !lib->want_write(t->client->mosq))
		r = publish(t, data, len, origin, ret_id);
	if (!more || r == -EAGAIN)
		cork(t, false);
	if (lib->want_write(t->client->mosq))
		mqtt_arm(t);
	return r;
}

/* --- the link ----------------------------------------------------------------- */

static void
mqtt_wait(struct link *link)
{
	struct mqtt *t = link->endpoint->impl;

	if (link_events(link) & EV_READ && !STAILQ_EMPTY(&t->received))
		link_trigger(link, EV_READ);
	mqtt_arm(t);
}

static void
mqtt_closed(struct link *link)
{
	(void)link;
}

const char *
mqtt_topic(const struct endpoint *ep, size_t *ret_len)
{
	const struct mqtt *t = ep->impl;
	const struct mqtt_received *m = t->reading;

	*ret_len = m != NULL ? m->topic_len : 0;
	return m != NULL ? (const char *)m->data + m->len : NULL;
}

void
mqtt_forget(struct mqtt *t)
{
	struct mqtt_received *m;

	t->reading = NULL;
	while ((m = STAILQ_FIRST(&t->received)) != NULL) {
		STAILQ_REMOVE_HEAD(&t->received, entry);
		free(m);
	}
}

const struct link_ops mqtt_link_ops = {
	.read = mqtt_read,
	.write = mqtt_write,
	.submit = mqtt_submit,
	.wait = mqtt_wait,
	.closed = mqtt_closed,
};
