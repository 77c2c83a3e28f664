/*
 * mqtt_conf: the keys of an mqtt endpoint's section.
 */
#ifndef MQTT_CONF_H
#define MQTT_CONF_H

#include "connector.h"
#include "endpoint.h"
#include "mqtt_message.h"
#include "tls.h"

/* The maximum number of brokers, and of subscriptions. */
#define MQTT_LIST_MAX 16
/* The longest topic that is published or subscribed. */
#define MQTT_TOPIC_MAX 1024
#define MQTT_PASSWORD_MAX 1025

enum mqtt_version { MQTT_VERSION_5, MQTT_VERSION_311 };

struct mqtt_conf {
	char *broker;
	int version; /* enum mqtt_version */
	char *client_id;
	char *user, *password_file;
	bool password_is_public; /* other users could read the file */
	uint64_t keepalive, connect_timeout, session_expiry; /* ns */
	char *will;
	char *publish, *subscribe;
	uint64_t qos;
	bool retain;
	uint64_t message_expiry; /* ns, 0: none */
	uint64_t window;
	int encoding; /* enum mqtt_encoding */
	struct tls_conf tls;
};

extern const struct key mqtt_keys[];

/* The words of a list, which point into it. */
struct mqtt_list {
	struct {
		const char *at;
		size_t len;
	} word[MQTT_LIST_MAX];
	unsigned n;
};
/* -E2BIG: there are more. */
int mqtt_list(const char *list, struct mqtt_list *ret);

/* What %h, %e and %t stand for. */
struct mqtt_names {
	const char *host, *endpoint, *topic;
	size_t topic_len;
};
/*
 * Writes the topic with the names in place of %h, %e and %t (%% is a percent sign), and
 * returns its length.  -EINVAL: another letter follows the percent sign; -ENOSPC.
 */
long mqtt_expand(const char *topic, size_t len, const struct mqtt_names *names,
    char *buf, size_t size);
/* Whether the topic has a %t. */
bool mqtt_wants_topic(const char *topic);
/* The client identifier; returns buf. */
const char *mqtt_client_id(
    const struct endpoint_conf *conf, char *buf, size_t size);
/* Splits 'will' into topic and payload, which is NULL if there is none. */
int mqtt_will(const struct endpoint_conf *conf, char *topic, size_t size,
    const char **ret_payload);

/* Reads the password from its file, which must be given.  -errno and err. */
int mqtt_password(
    struct mqtt_conf *mqtt, char *buf, size_t size, struct error *err);

/* See endpoint_ops. */
int mqtt_check(struct endpoint_conf *conf, struct error *err);
int mqtt_load_files(struct endpoint_conf *conf, struct error *err);
void mqtt_warn(const struct endpoint_conf *conf, struct error *err);
bool mqtt_claim(
    const struct endpoint_conf *conf, unsigned i, char *buf, size_t size);
const char *mqtt_lacks(const struct endpoint_conf *conf, bool source);

#endif
