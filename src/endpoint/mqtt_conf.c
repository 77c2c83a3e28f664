/*
 * mqtt_conf: the keys of an mqtt endpoint's section.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "mqtt_conf.h"
#include "mqtt_library.h"
#include "site.h"

#define OFFSET(member) offsetof(struct mqtt_conf, member)

static const char *const version_words[] = {
	[MQTT_VERSION_5] = "5",
	[MQTT_VERSION_311] = "3.1.1",
	NULL,
};

const struct key mqtt_keys[] = {
	{ .name = "broker",
	    .type = KEY_STRING,
	    .offset = OFFSET(broker),
	    .min = 1,
	    .help = "HOST:PORT of the broker, or several that are tried in"
		    " turn" },
	{ .name = "version",
	    .type = KEY_WORD,
	    .offset = OFFSET(version),
	    .def = "5",
	    .words = version_words,
	    .help = "of MQTT; 5 falls back to 3.1.1" },
	{ .name = "client_id",
	    .type = KEY_STRING,
	    .offset = OFFSET(client_id),
	    .min = 1,
	    .help = "the name of this client, which no other client of the"
		    " broker has; %h is the host; default %h-NAME" },
	{ .name = "user",
	    .type = KEY_STRING,
	    .offset = OFFSET(user),
	    .min = 1,
	    .help = "the user name" },
	{ .name = "password_file",
	    .type = KEY_STRING,
	    .offset = OFFSET(password_file),
	    .min = 1,
	    .only_in_file = true,
	    .help = "a file with the password in its first line" },
	{ .name = "publish",
	    .type = KEY_STRING,
	    .offset = OFFSET(publish),
	    .min = 1,
	    .help = "the topic of the frames that are sent: %h is the host, %e"
		    " the endpoint that a frame comes from, %t the topic that"
		    " it was received with" },
	{ .name = "subscribe",
	    .type = KEY_STRING,
	    .offset = OFFSET(subscribe),
	    .min = 1,
	    .help = "the topics that are received, with wildcards + and #; %h"
		    " is the host" },
	{ .name = "qos",
	    .type = KEY_NUMBER,
	    .offset = OFFSET(qos),
	    .def = "1",
	    .max = 2,
	    .help = "quality of service: 0 a message may be lost, 1 it is"
		    " confirmed, 2 it is confirmed twice" },
	{ .name = "retain",
	    .type = KEY_BOOL,
	    .offset = OFFSET(retain),
	    .def = "no",
	    .help = "whether the broker keeps the last message of each topic"
		    " for new subscribers" },
	{ .name = "message_expiry",
	    .type = KEY_TIME,
	    .offset = OFFSET(message_expiry),
	    .def = "none",
	    .max = 0xffffffffULL * NSEC_PER_SEC,
	    .help = "how long the broker keeps a message for a subscriber that"
		    " is away" },
	{ .name = "window",
	    .type = KEY_NUMBER,
	    .offset = OFFSET(window),
	    .def = "20",
	    .min = 1,
	    .max = 1000,
	    .help = "messages that may be sent and not be confirmed" },
	{ .name = "encoding",
	    .type = KEY_WORD,
	    .offset = OFFSET(encoding),
	    .def = "raw",
	    .words = mqtt_encoding_words,
	    .help = "of the frame in a message" },
	{ .name = "session_expiry",
	    .type = KEY_TIME,
	    .offset = OFFSET(session_expiry),
	    .def = "1h",
	    .max = 0xffffffffULL * NSEC_PER_SEC,
	    .help = "with 'subscribe': how long the broker keeps messages"
		    " while this client is away; none: it does not" },
	{ .name = "keepalive",
	    .type = KEY_TIME,
	    .offset = OFFSET(keepalive),
	    .def = "60s",
	    .min = 5 * NSEC_PER_SEC,
	    .max = 65535 * NSEC_PER_SEC,
	    .help = "the time without a packet after which the other side is"
		    " asked whether it is there" },
	{ .name = "will",
	    .type = KEY_STRING,
	    .offset = OFFSET(will),
	    .min = 1,
	    .help = "TOPIC TEXT: what the broker publishes when this client"
		    " has vanished; %h is the host" },
	{ .name = "connect_timeout",
	    .type = KEY_TIME,
	    .offset = OFFSET(connect_timeout),
	    .def = "10s",
	    .min = NSEC_PER_MSEC,
	    .max = 3600 * NSEC_PER_SEC,
	    .help = "how long it may take until the broker has accepted this"
		    " client" },
	TLS_KEY_ON(struct mqtt_conf),
	TLS_KEY_CA_CLIENT(struct mqtt_conf),
	TLS_KEY_NAME(struct mqtt_conf),
	TLS_KEY_VERIFY(struct mqtt_conf),
	TLS_KEY_CERT(struct mqtt_conf),
	TLS_KEY_KEY(struct mqtt_conf),
	{ .name = NULL },
};

/* --- names ----------------------------------------------------------------- */

int
mqtt_list(const char *list, struct mqtt_list *ret)
{
	const char *word;
	size_t len;

	ret->n = 0;
	while (list != NULL && (word = list_word(&list, &len)) != NULL) {
		if (ret->n == MQTT_LIST_MAX)
			return -E2BIG;
		ret->word[ret->n].at = word;
		ret->word[ret->n++].len = len;
	}
	return 0;
}

/* What the letter after a percent sign stands for; NULL: nothing. */
static const char *
name_of(const struct mqtt_names *names, char letter, size_t *ret_len)
{
	const char *name = letter == 'h' ? names->host
	    : letter == 'e'		 ? names->endpoint
	    : letter == '%'		 ? "%"
					 : NULL;

	if (letter == 't') {
		*ret_len = names->topic_len;
		return names->topic;
	}
	*ret_len = name != NULL ? strlen(name) : 0;
	return name;
}

long
mqtt_expand(const char *topic, size_t len, const struct mqtt_names *names,
    char *buf, size_t size)
{
	const char *end = topic + len, *piece;
	size_t n, total = 0;

	for (; topic < end; topic++) {
		piece = topic;
		n = 1;
		if (*topic == '%') {
			if (++topic == end)
				return -EINVAL;
			if ((piece = name_of(names, *topic, &n)) == NULL)
				return -EINVAL;
		}
		if (total + n >= size)
			return -ENOSPC;
		memcpy(buf + total, piece, n);
		total += n;
	}
	buf[total] = '\0';
	return (long)total;
}

bool
mqtt_wants_topic(const char *topic)
{
	for (; *topic != '\0'; topic++)
		if (*topic == '%' && *++topic == 't')
			return true;
		else if (*topic == '\0')
			break;
	return false;
}

const char *
mqtt_client_id(const struct endpoint_conf *conf, char *buf, size_t size)
{
	const struct mqtt_conf *mqtt = conf->type_conf;
	const struct mqtt_names names = { .host = site_host() };

	if (mqtt->client_id == NULL ||
	    mqtt_expand(mqtt->client_id, strlen(mqtt->client_id), &names, buf,
		size) < 0)
		snprintf(buf, size, "%s-%s", site_host(), conf->name);
	return buf;
}

int
mqtt_will(const struct endpoint_conf *conf, char *topic, size_t size,
    const char **ret_payload)
{
	const struct mqtt_conf *mqtt = conf->type_conf;
	const struct mqtt_names names = { .host = site_host() };
	size_t len = strcspn(mqtt->will, " \t");
	long n = mqtt_expand(mqtt->will, len, &names, topic, size);

	*ret_payload = mqtt->will + len + strspn(mqtt->will + len, " \t");
	if (**ret_payload == '\0')
		*ret_payload = NULL;
	return n < 0 ? (int)n : 0;
}

/* --- checks ---------------------------------------------------------------- */

/* The address is written as a URL: says what is meant. */
static int
reject_url(const char *url, struct error *err)
{
	size_t scheme = strcspn(url, ":");
	const char *host = url + scheme + 3, *user = strchr(host, '@');
	bool tls = strncmp(url, "mqtts:", 6) == 0 ||
	    strncmp(url, "ssl:", 4) == 0 || strncmp(url, "tls:", 4) == 0;
	size_t len;

	if (strncmp(url, "ws", 2) == 0)
		return error_fail(err, -EINVAL,
		    "'broker' is '%s': WebSockets are not supported; write"
		    " HOST:PORT of a listener for MQTT",
		    url);
	if (user != NULL)
		host = user + 1;
	len = strcspn(host, "/");
	return error_fail(err, -EINVAL,
	    "'broker' is '%s', and not HOST:PORT; write broker = %.*s%s%s", url,
	    (int)len, host,
	    memchr(host, ':', len) != NULL ? ""
		: tls			   ? ":8883"
					   : ":1883",
	    tls ? " and tls = yes" : "");
}

static int
check_brokers(const struct mqtt_conf *mqtt, struct error *err)
{
	struct mqtt_list list;
	char address[CONNECTOR_HOST_MAX + 8];

	if (mqtt->broker == NULL)
		return error_fail(err, -EINVAL,
		    "needs 'broker', such as broker = broker.example:1883");
	if (mqtt_list(mqtt->broker, &list) < 0)
		return error_fail(err, -EINVAL,
		    "'broker' has more than %d addresses", MQTT_LIST_MAX);
	for (unsigned i = 0; i < list.n; i++) {
		snprintf(address, sizeof(address), "%.*s",
		    (int)MIN(list.word[i].len, sizeof(address) - 1),
		    list.word[i].at);
		if (strstr(address, "://") != NULL)
			return reject_url(address, err);
		if (!connector_is_address(address))
			return error_fail(err, -EINVAL,
			    "'broker' is '%s', and not HOST:PORT, such as"
			    " broker.example:%d",
			    address, mqtt->tls.on ? 8883 : 1883);
	}
	return 0;
}

/* Checks a topic after the replacement of what may be in it. */
static int
check_topic(const char *key, const char *topic, size_t len, bool publish,
    struct error *err)
{
	const struct mqtt_names names = { .host = "h",
		.endpoint = publish ? "e" : NULL,
		.topic = publish ? "t" : NULL,
		.topic_len = 1 };
	char text[MQTT_TOPIC_MAX];
	long n = mqtt_expand(topic, len, &names, text, sizeof(text));

	if (n == -ENOSPC)
		return error_fail(
		    err, -EINVAL, "'%s': the topic is too long", key);
	if (n < 0)
		return error_fail(err, -EINVAL,
		    "'%s': '%.*s' has a %% before another letter than %s", key,
		    (int)len, topic,
		    publish ? "h, e or t" : "h; wildcards are + and #");
	if (publish && (strpbrk(text, "+#") != NULL || n == 0))
		return error_fail(err, -EINVAL,
		    "'%s': '%.*s' has a wildcard: + and # are for 'subscribe'",
		    key, (int)len, topic);
	return 0;
}

/* A wildcard is a level of its own, and # the last one. */
static bool
is_filter(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (s[i] != '+' && s[i] != '#')
			continue;
		if ((i > 0 && s[i - 1] != '/') ||
		    (i + 1 < len && (s[i] == '#' || s[i + 1] != '/')))
			return false;
	}
	return true;
}

static int
check_will(const struct mqtt_conf *mqtt, struct error *err)
{
	size_t len = strcspn(mqtt->will, " \t");

	if (mqtt->will[len + strspn(mqtt->will + len, " \t")] != '\0')
		return 0;
	return error_fail(err, -EINVAL,
	    "'will' is a topic without a text; write will = TOPIC TEXT, such"
	    " as will = %s offline",
	    mqtt->will);
}

static int
check_topics(const struct mqtt_conf *mqtt, struct error *err)
{
	struct mqtt_list list;
	int r = 0;

	if (mqtt->publish == NULL && mqtt->subscribe == NULL)
		return error_fail(err, -EINVAL,
		    "needs 'publish' or 'subscribe', or both, such as"
		    " publish = site/%%h/%%e");
	if (mqtt->publish != NULL)
		r = check_topic(
		    "publish", mqtt->publish, strlen(mqtt->publish), true, err);
	if (r == 0 && mqtt->will != NULL)
		r = check_topic(
		    "will", mqtt->will, strcspn(mqtt->will, " \t"), false, err);
	if (r == 0 && mqtt->will != NULL)
		r = check_will(mqtt, err);
	if (r == 0 && mqtt_list(mqtt->subscribe, &list) < 0)
		r = error_fail(err, -EINVAL,
		    "'subscribe' has more than %d topics", MQTT_LIST_MAX);
	for (unsigned i = 0; r == 0 && i < list.n; i++) {
		r = check_topic(
		    "subscribe", list.word[i].at, list.word[i].len, false, err);
		if (r == 0 && !is_filter(list.word[i].at, list.word[i].len))
			r = error_fail(err, -EINVAL,
			    "'subscribe': '%.*s': + and # stand for a whole"
			    " level, and # for the last ones",
			    (int)list.word[i].len, list.word[i].at);
	}
	return r;
}

int
mqtt_check(struct endpoint_conf *conf, struct error *err)
{
	struct mqtt_conf *mqtt = conf->type_conf;
	const struct mqtt_names names = { .host = "h" };
	char text[MQTT_TOPIC_MAX];
	int r;

	conf->framing.datagram = DATAGRAM_FRAME;
	if (mqtt->subscribe == NULL)
		conf->silence_warning = 0;
	if ((r = check_brokers(mqtt, err)) < 0 ||
	    (r = check_topics(mqtt, err)) < 0 ||
	    (r = tls_check(&mqtt->tls, false, err)) < 0)
		return r;
	if (mqtt->client_id != NULL &&
	    mqtt_expand(mqtt->client_id, strlen(mqtt->client_id), &names, text,
		sizeof(text)) < 0)
		return error_fail(err, -EINVAL,
		    "'client_id' has a %% before another letter than h");
	if (mqtt->password_file != NULL && mqtt->user == NULL)
		return error_fail(err, -EINVAL, "'password_file' needs 'user'");
	/* The library does not keep its side of the session, in which the broker would
	 * take the number of a new message for that of an old one. */
	if (mqtt->qos == 2 && mqtt->publish != NULL && mqtt->subscribe != NULL)
		return error_fail(err, -EINVAL,
		    "qos = 2 is for a section with 'publish' alone: make "
		    "another"
		    " one for 'subscribe'");
	if (mqtt->message_expiry != 0 && mqtt->version == MQTT_VERSION_311)
		return error_fail(
		    err, -EINVAL, "'message_expiry' needs version = 5");
	return 0;
}

/* --- files ----------------------------------------------------------------- */

int
mqtt_password(struct mqtt_conf *mqtt, char *buf, size_t size, struct error *err)
{
	int fd = open(mqtt->password_file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t n = fd >= 0 ? read(fd, buf, size - 1) : -1;
	struct stat st;
	int e = errno;

	mqtt->password_is_public =
	    fd >= 0 && fstat(fd, &st) == 0 && (st.st_mode & 0004) != 0;
	if (fd >= 0)
		close(fd);
	if (n < 0)
		return error_fail(err, -e, "'password_file': %.200s: %s",
		    mqtt->password_file, strerror(e));
	buf[n] = '\0';
	buf[strcspn(buf, "\r\n")] = '\0';
	if (buf[0] == '\0')
		return error_fail(err, -EINVAL,
		    "'password_file': %.200s: its first line is empty",
		    mqtt->password_file);
	return 0;
}

int
mqtt_load_files(struct endpoint_conf *conf, struct error *err)
{
	struct mqtt_conf *mqtt = conf->type_conf;
	char password[MQTT_PASSWORD_MAX];
	int r;

	if ((r = mqtt_load(err)) < 0)
		return r;
	if (mqtt->password_file != NULL &&
	    (r = mqtt_password(mqtt, password, sizeof(password), err)) < 0)
		return r;
	return tls_load(&mqtt->tls, false, &conf->tls, err);
}

void
mqtt_warn(const struct endpoint_conf *conf, struct error *err)
{
	const struct mqtt_conf *mqtt = conf->type_conf;
	const char *more = "";

	tls_warn(&mqtt->tls, conf->tls, err);
	if (error_is_set(err))
		more = "; ";
	if (mqtt->password_is_public)
		error_append(err,
		    "%s'password_file' can be read by all users: chmod o= %s",
		    more, mqtt->password_file);
	else if (mqtt->password_file != NULL && !mqtt->tls.on &&
	    strncmp(mqtt->broker, "127.", 4) != 0 &&
	    strncmp(mqtt->broker, "localhost:", 10) != 0)
		error_append(err,
		    "%sthe password is sent in clear text without tls = yes",
		    more);
	else if (mqtt->version == MQTT_VERSION_311 && mqtt->publish != NULL &&
	    mqtt->subscribe != NULL && mqtt->encoding != MQTT_JSON)
		error_append(err,
		    "%swith version = 3.1.1 its own messages are only"
		    " recognised with encoding = json",
		    more);
}

bool
mqtt_claim(const struct endpoint_conf *conf, unsigned i, char *buf, size_t size)
{
	const struct mqtt_conf *mqtt = conf->type_conf;
	struct mqtt_list list;
	char id[MQTT_TOPIC_MAX];

	mqtt_list(mqtt->broker, &list);
	if (i >= list.n)
		return false;
	snprintf(buf, size, "%s at %.*s", mqtt_client_id(conf, id, sizeof(id)),
	    (int)list.word[i].len, list.word[i].at);
	return true;
}

const char *
mqtt_lacks(const struct endpoint_conf *conf, bool source)
{
	const struct mqtt_conf *mqtt = conf->type_conf;

	if (source)
		return mqtt->subscribe == NULL ? "subscribe" : NULL;
	return mqtt->publish == NULL ? "publish" : NULL;
}
