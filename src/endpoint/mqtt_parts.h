/*
 * mqtt_parts: what the files of an mqtt endpoint share.  Included only by them.
 */
#ifndef MQTT_PARTS_H
#define MQTT_PARTS_H

#include "link.h"
#include "log.h"
#include "mqtt_client.h"

/* The longest frame in a message. */
#define MQTT_FRAME_MAX (60 * 1024)

enum mqtt_stage {
	MQTT_CLOSED,
	MQTT_CONNECTING, /* in a thread */
	MQTT_GREETING,	 /* the broker has to accept the client */
	MQTT_OPEN
};

/* A message that was received, until the link is read. */
struct mqtt_received {
	STAILQ_ENTRY(mqtt_received) entry;
	size_t len, topic_len;
	uint8_t data[]; /* the frame, then the topic */
};

/* A message whose end was reported. */
struct mqtt_done {
	int mid;
	int code; /* reason code of MQTT 5; 0: delivered */
};

struct mqtt {
	struct endpoint *ep;
	enum mqtt_stage stage;
	unsigned broker; /* the one to be tried, or in use */
	unsigned old;	 /* those that do not speak MQTT 5, a bit each */
	bool
	    clearing; /* the session has other topics, and is forgotten first */
	char address[CONNECTOR_HOST_MAX + 8];
	struct mqtt_client *client; /* NULL: closed */
	/* A duplicate of the socket: the library closes its own one while libevent waits
	 * for it, and this one is taken out of epoll before it is closed. */
	int fd;
	struct event *readable, *writable, *timer;
	struct task io, timer_task;
	uint64_t keepalive_ns, timer_at;
	/* What callbacks of the library have reported, and mqtt.c handles: */
	bool accepted, session;
	int refused; /* code of CONNACK, 0: it is not */
	bool ended;
	int ended_code; /* MOSQ_ERR_*, or the reason of the broker */
	struct mqtt_done *done;
	unsigned ndone, done_size;
	/* Messages from the broker. */
	STAILQ_HEAD(, mqtt_received) received;
	const struct mqtt_received *reading; /* its frame is being forwarded */
	bool ungapped; /* other subscribers get some of the messages */
	struct mqtt_buffer decoded, encoded;
	struct log_limit malformed, refusal;
	/* Messages to the broker. */
	unsigned window; /* how many may be unconfirmed, and... */
	unsigned flying; /* ...how many are */
	bool sent;	 /* a message was published while the socket was read */
	bool corked;	 /* the kernel collects them */
	int publishing;	 /* the mid of the one that is being passed on, or -1 */
	bool published;	 /* it was sent, and needs no confirmation */
};

static inline const struct mqtt_conf *
mqtt_conf_of(const struct mqtt *t)
{
	return t->ep->conf->type_conf;
}

/* --- mqtt_link.c ------------------------------------------------------------ */

extern const struct link_ops mqtt_link_ops;
/* Whether the socket is read. */
bool mqtt_reads(const struct mqtt *t);
/* Waits for what the state of the connection requires. */
void mqtt_arm(struct mqtt *t);
/* Has the library report to the functions of this file. */
void mqtt_callbacks(struct mqtt *t);
/* Subscribes to the topics of the section. */
void mqtt_subscribe(struct mqtt *t);
/* Discards what was received and is not read. */
void mqtt_forget(struct mqtt *t);
/* See endpoint_ops.topic. */
const char *mqtt_topic(const struct endpoint *ep, size_t *ret_len);

#endif
