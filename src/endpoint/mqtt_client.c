/*
 * mqtt_client: one connection of libmosquitto.
 */
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "mqtt_client.h"
#include "sandbox.h"

/*
 * The longest packet that the broker may send: the longest frame as JSON, each of its bytes as
 * an escape such as \u0001, and its properties.
 */
#define PACKET_MAX (1024 * 1024)
/* The maximum number of connects that have not ended, including those given up. */
#define CONNECTS_MAX 64

static unsigned nconnects;

static const struct mqtt_library *const lib = &mqtt_library;

/* --- from beginning to end -------------------------------------------------- */

static void
on_log(struct mosquitto *mosq, void *arg, int level, const char *text)
{
	struct mqtt_client *client = arg;

	(void)mosq;
	/* The first error of a connection is the cause of the others. */
	if (level == MOSQ_LOG_ERR && client->log[0] == '\0')
		snprintf(client->log, sizeof(client->log), "%s", text);
}

static int
set_tls(
    struct mqtt_client *client, const struct mqtt_conf *conf, struct error *err)
{
	int r;

	if (!conf->tls.on)
		return 0;
	if ((r = tls_load(&conf->tls, false, &client->tls, err)) < 0)
		return r;
	client->native = tls_library->native(client->tls,
	    conf->tls.name != NULL ? conf->tls.name : client->host,
	    conf->tls.verify);
	if (client->native == NULL)
		return -ENOMEM;
	lib->int_option(client->mosq, MOSQ_OPT_SSL_CTX_WITH_DEFAULTS, 0);
	lib->void_option(client->mosq, MOSQ_OPT_SSL_CTX, client->native);
	return 0;
}

static int
set_user(struct mqtt_client *client, struct mqtt_conf *conf, struct error *err)
{
	char password[MQTT_PASSWORD_MAX];
	int r;

	if (conf->user == NULL)
		return 0;
	if (conf->password_file != NULL &&
	    (r = mqtt_password(conf, password, sizeof(password), err)) < 0)
		return r;
	r = lib->username_pw_set(client->mosq, conf->user,
	    conf->password_file != NULL ? password : NULL);
	explicit_bzero(password, sizeof(password));
	return r == MOSQ_ERR_SUCCESS
	    ? 0
	    : error_fail(err, -EINVAL, "'user': %s", lib->strerror(r));
}

static int
set_will(struct mqtt_client *client, const struct endpoint_conf *conf,
    struct error *err)
{
	const struct mqtt_conf *mqtt = conf->type_conf;
	char topic[MQTT_TOPIC_MAX];
	const char *payload;
	int r;

	if (mqtt->will == NULL)
		return 0;
	mqtt_will(conf, topic, sizeof(topic), &payload);
	r = lib->will_set(client->mosq, topic,
	    payload != NULL ? (int)strlen(payload) : 0, payload, (int)mqtt->qos,
	    mqtt->retain);
	return r == MOSQ_ERR_SUCCESS
	    ? 0
	    : error_fail(err, -EINVAL, "'will': %s", lib->strerror(r));
}

static void
set_options(struct mqtt_client *client, const struct mqtt_conf *conf)
{
	struct mosquitto *mosq = client->mosq;

	lib->log_callback_set(mosq, on_log);
	lib->int_option(mosq, MOSQ_OPT_PROTOCOL_VERSION,
	    client->v5 ? MQTT_PROTOCOL_V5 : MQTT_PROTOCOL_V311);
	lib->int_option(mosq, MOSQ_OPT_TCP_NODELAY, 1);
	lib->int_option(mosq, MOSQ_OPT_SEND_MAXIMUM, (int)conf->window);
	if (client->v5)
		lib->property_add_int32(&client->properties,
		    MQTT_PROP_MAXIMUM_PACKET_SIZE, PACKET_MAX);
	if (client->v5 && conf->subscribe != NULL && conf->session_expiry != 0)
		lib->property_add_int32(&client->properties,
		    MQTT_PROP_SESSION_EXPIRY_INTERVAL,
		    (uint32_t)(conf->session_expiry / NSEC_PER_SEC));
}

int
mqtt_client_new(const struct endpoint *ep, const char *address, bool v5,
    bool clean, struct mqtt_client **ret, struct error *err)
{
	struct mqtt_conf *conf = ep->conf->type_conf;
	struct mqtt_client *client = calloc(1, sizeof(*client));
	char id[MQTT_TOPIC_MAX];
	const char *port;
	int r;

	if (client == NULL)
		return -ENOMEM;
	client->v5 = v5;
	client->clean = clean;
	client->keepalive = (int)(conf->keepalive / NSEC_PER_SEC);
	connector_split(address, client->host, sizeof(client->host), &port);
	client->port = atoi(port);
	mqtt_client_id(ep->conf, id, sizeof(id));
	if ((client->mosq = lib->new (id, clean, client)) == NULL) {
		free(client);
		return error_fail(err, -EINVAL, "client_id '%.100s': %s", id,
		    strerror(errno));
	}
	set_options(client, conf);
	if ((r = set_tls(client, conf, err)) < 0 ||
	    (r = set_user(client, conf, err)) < 0 ||
	    (r = set_will(client, ep->conf, err)) < 0) {
		mqtt_client_free(client);
		return r;
	}
	*ret = client;
	return 0;
}

void
mqtt_client_free(struct mqtt_client *client)
{
	if (client == NULL)
		return;
	client->mqtt = NULL;
	if (client->worker.busy)
		return;
	lib->destroy(client->mosq);
	lib->property_free_all(&client->properties);
	tls_context_free(client->tls);
	free(client);
}

/* In the thread. */
static void
run(void *arg)
{
	struct mqtt_client *client = arg;

	errno = 0;
	client->result = lib->connect_bind_v5(client->mosq, client->host,
	    client->port, client->keepalive, NULL, client->properties);
	client->error = errno;
}

static void
done(void *arg)
{
	struct mqtt_client *client = arg;

	nconnects--;
	if (client->mqtt == NULL)
		mqtt_client_free(client);
	else
		client->connected(client->mqtt);
}

int
mqtt_client_connect(struct mqtt_client *client, struct event_base *base,
    struct mqtt *mqtt, void (*connected)(struct mqtt *))
{
	int r;

	if (nconnects == CONNECTS_MAX)
		return -EAGAIN;
	client->worker.run = run;
	client->worker.done = done;
	client->worker.arg = client;
	if ((r = worker_start(&client->worker, base)) < 0)
		return r;
	client->mqtt = mqtt;
	client->connected = connected;
	nconnects++;
	return 0;
}

/* --- reasons --------------------------------------------------------------- */

/* The library logs "OpenSSL Error[0]: error:0A00010B:SSL routines::REASON". */
static const char *
tls_reason(const struct mqtt_client *client, char *buf, size_t size)
{
	static const struct {
		const char *reason, *meaning;
	} meanings[] = {
		{ "wrong version number", "what it sends is no TLS" },
		{ "alert certificate required",
		    "it requires a certificate (tls_cert)" },
		{ "alert unknown ca",
		    "it does not know the CA of the certificate" },
		{ "", "" },
	};
	const char *rejected = tls_library->rejected(client->native);
	const char *text = strrchr(client->log, ':');

	text = text != NULL ? text + 1 : client->log;
	if (rejected != NULL) {
		snprintf(buf, size,
		    "TLS handshake failed: its certificate is not accepted: %s",
		    rejected);
		return buf;
	}
	for (size_t i = 0; i < NELEM(meanings); i++)
		if (strstr(text, meanings[i].reason) != NULL) {
			if (*meanings[i].meaning != '\0')
				text = meanings[i].meaning;
			break;
		}
	snprintf(
	    buf, size, "TLS handshake failed%s%s", *text ? ": " : "", text);
	return buf;
}

const char *
mqtt_client_reason(
    const struct mqtt_client *client, int code, char *buf, size_t size)
{
	switch (code) {
	case MOSQ_ERR_ERRNO:
		return network_error(client->error, buf, size);
	case MOSQ_ERR_EAI:
		snprintf(buf, size, "%s",
		    client->error == EAI_NONAME || client->error == EAI_NODATA
			? "there is no host of that name"
			: gai_strerror(client->error));
		return buf;
	case MOSQ_ERR_TLS:
		return tls_reason(client, buf, size);
	case MOSQ_ERR_CONN_LOST:
	case MOSQ_ERR_NO_CONN:
		if (client->native != NULL &&
		    tls_library->rejected(client->native) != NULL)
			return tls_reason(client, buf, size);
		snprintf(buf, size, "the broker has closed the connection");
		return buf;
	case MOSQ_ERR_KEEPALIVE:
		snprintf(buf, size, "the broker does not answer");
		return buf;
	default:
		snprintf(buf, size, "%s",
		    code >= 128 ? lib->reason_string(code)
				: lib->strerror(code));
		return buf;
	}
}

/* What a user can do about it. */
static const struct {
	int v5, v311;
	const char *text;
} refusals[] = {
	{ MQTT_RC_BAD_USERNAME_OR_PASSWORD,
	    CONNACK_REFUSED_BAD_USERNAME_PASSWORD,
	    "bad user name or password (see 'user' and 'password_file')" },
	{ MQTT_RC_NOT_AUTHORIZED, CONNACK_REFUSED_NOT_AUTHORIZED,
	    "not authorized (see 'user', 'password_file' and 'client_id')" },
	{ MQTT_RC_CLIENTID_NOT_VALID, CONNACK_REFUSED_IDENTIFIER_REJECTED,
	    "it does not accept the client identifier (see 'client_id')" },
	{ MQTT_RC_UNSUPPORTED_PROTOCOL_VERSION,
	    CONNACK_REFUSED_PROTOCOL_VERSION,
	    "it does not speak this version of MQTT (see 'version')" },
	{ MQTT_RC_SERVER_UNAVAILABLE, CONNACK_REFUSED_SERVER_UNAVAILABLE,
	    "it is not available" },
};

const char *
mqtt_client_refusal(
    const struct mqtt_client *client, int code, char *buf, size_t size)
{
	const char *text =
	    client->v5 ? lib->reason_string(code) : lib->connack_string(code);

	for (size_t i = 0; i < NELEM(refusals); i++)
		if (code == (client->v5 ? refusals[i].v5 : refusals[i].v311))
			text = refusals[i].text;
	snprintf(buf, size, "the broker has refused it: %s", text);
	return buf;
}
