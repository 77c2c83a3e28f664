/*
 * rfc2217_session: clients of an RFC 2217 server, for the source files of the server only.
 */
#ifndef RFC2217_SESSION_H
#define RFC2217_SESSION_H

#include "line_control.h"
#include "line_use.h"
#include "log.h"
#include "rfc2217_server.h"
#include "telnet_filter.h"

/* The room for a signature. */
#define SIGNATURE_MAX 128

struct client {
	struct telnet_filter telnet;
	struct rfc2217 *server;
	TAILQ_ENTRY(client) entry;
	/* The line that it uses, "": none, and the number of that use. */
	char line[ENDPOINT_NAME_MAX + 1];
	uint64_t use;
	uint8_t modem_mask, line_mask;
	uint8_t modem; /* the levels that it knows */
	bool modem_known;
	struct line_errors errors; /* the counts that it knows */
	/* A command waits for the data before it; rx_bytes of the link then. */
	struct line_wait wait;
	uint64_t rx_bytes;
	/* It was changed on a line that has not answered yet; NULL: none. */
	const struct setting *due;
	uint32_t due_value;
};
TAILQ_HEAD(client_list, client);

struct rfc2217 {
	struct endpoint *ep;
	const struct rfc2217_conf *conf;
	bool com_port;
	struct client_list clients;
	int timer_fd; /* -1: nothing is polled */
	struct event *timer;
	struct task task;
	/* Of a line without modem lines: what was asked for last. */
	unsigned imagined;
	struct log_limit limit;
};

static inline const char *
client_name(const struct client *c)
{
	return c->telnet.filter.link->name;
}

static inline const struct line_ops *
line_control_of(const struct endpoint *line)
{
	return line->conf->ops->control;
}

/* --- the line (rfc2217_session.c) ------------------------------------------ */

/* The line with that name; NULL: that of the routes. */
struct endpoint *rfc2217_line(const struct rfc2217 *server, const char *name);
/* The line of the client, which uses it from now on.  NULL: there is none. */
struct endpoint *client_line(struct client *c);
/* The client uses the line no longer. */
void client_release_line(struct client *c);
/* Whether the client may change what those bits say (DENY_*). */
bool client_may(struct client *c, unsigned what);
/* Logs that something could not be set. */
void client_failed(struct client *c, const char *what, const char *why);
/* Answers a command. */
void client_answer(
    struct client *c, uint8_t command, const uint8_t *value, size_t len);
void client_answer_byte(struct client *c, uint8_t command, uint8_t value);

/* --- commands: value has at least one byte -------------------------------- */

/* rfc2217_settings.c */
void rfc2217_setting(struct client *c, const uint8_t *value, size_t len);
void rfc2217_control(struct client *c, const uint8_t *value, size_t len);
void rfc2217_purge(struct client *c, const uint8_t *value, size_t len);
/* The answer that is due is given once it is known; returns whether that is so. */
bool rfc2217_answer_due(struct client *c);
/* "the speed": the setting whose answer is due. */
const char *rfc2217_due_name(const struct client *c);
/* rfc2217_notify.c */
void rfc2217_modem_state(struct client *c, const uint8_t *value, size_t len);
void rfc2217_line_state(struct client *c, const uint8_t *value, size_t len);
void rfc2217_modem_mask(struct client *c, const uint8_t *value, size_t len);
void rfc2217_line_mask(struct client *c, const uint8_t *value, size_t len);

/* --- notifications (rfc2217_notify.c) ------------------------------------- */

/* Tells the client the state of the modem lines. */
void client_tell_modem(struct client *c);
/* Gets the counts of errors that the client knows. */
void client_know_errors(struct client *c, const struct endpoint *line);
/* Polls while a client is to be told of changes. */
void rfc2217_update_polling(struct rfc2217 *server);
void rfc2217_stop_polling(struct rfc2217 *server);

#endif
