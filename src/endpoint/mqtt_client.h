/*
 * mqtt_client: one connection of libmosquitto to a broker, from the lookup of its name on.
 *
 * The lookup and the connect block, and run in a thread with the name of the host, so that the
 * certificate is compared with that.  Everything after that is done in the loop.  A client
 * that is given up while its thread runs is freed when that ends.
 */
#ifndef MQTT_CLIENT_H
#define MQTT_CLIENT_H

#include "mqtt_conf.h"
#include "mqtt_library.h"
#include "worker.h"

struct mqtt;

struct mqtt_client {
	struct mosquitto *mosq;
	struct mqtt *mqtt; /* NULL: given up */
	bool v5, clean;
	char host[CONNECTOR_HOST_MAX];
	int port, keepalive;
	mosquitto_property *properties; /* of the CONNECT packet */
	struct tls_context *tls;	/* NULL: none */
	void *native;			/* the same, for the library */
	struct worker worker;
	int result, error; /* of the connect: MOSQ_ERR_*, and errno */
	/* In the loop, when the connect is over. */
	void (*connected)(struct mqtt *);
	char log[160]; /* the last error that the library has logged */
};

/*
 * Creates a client of the endpoint for HOST:PORT; clean: the broker discards the session of
 * the client.  -errno and err.
 */
int mqtt_client_new(const struct endpoint *ep, const char *address, bool v5,
    bool clean, struct mqtt_client **ret, struct error *err);
/* Starts to connect.  -EAGAIN: too many connects have not ended; -errno. */
int mqtt_client_connect(struct mqtt_client *client, struct event_base *base,
    struct mqtt *mqtt, void (*connected)(struct mqtt *));
/* NULL is allowed. */
void mqtt_client_free(struct mqtt_client *client);

/* Why the connect has failed, or (code: MOSQ_ERR_*) the connection was lost; returns buf. */
const char *mqtt_client_reason(
    const struct mqtt_client *client, int code, char *buf, size_t size);
/* Why the broker has refused the client, by the code of its CONNACK; returns buf. */
const char *mqtt_client_refusal(
    const struct mqtt_client *client, int code, char *buf, size_t size);

#endif
