/*
 * serial_remote: a serial port of another machine, for serial_remote.c and serial_agree.c
 * only.
 *
 *	connecting -> agreeing (COM-PORT-OPTION, then the settings) -> up
 *
 * While it is agreed, the telnet codec is used without a link.  Then the connection becomes
 * the link, whose filter takes over the codec and what was not decoded yet.
 */
#ifndef SERIAL_REMOTE_H
#define SERIAL_REMOTE_H

#include <event2/event.h>

#include "connector.h"
#include "rfc2217_client.h"
#include "serial_line.h"
#include "telnet_filter.h"

#define REMOTE_READ_SIZE 4096

struct remote_filter;

struct remote {
	struct serial serial;
	struct connector connector;
	struct rfc2217_client client;
	struct remote_filter *filter; /* while it is up */
	bool restored;		      /* by the filter */
	uint64_t asked_ns;	      /* the last setting */
	char said[256];		      /* the last difference that was logged */
	/* While it is agreed: */
	int fd; /* -1: it is not */
	bool agreed;
	void (*on_agreed)(struct remote *, int fd);
	struct telnet telnet;
	struct event *readable, *writable, *timer;
	struct task task;
	uint64_t until_ns;
	uint8_t in[REMOTE_READ_SIZE];
	size_t in_at, in_len; /* not decoded yet */
	uint8_t out[FILTER_REST_MAX];
	size_t out_len;
};

static inline const struct serial_conf *
remote_conf(const struct remote *r)
{
	return r->serial.ep->conf->type_conf;
}

#define REMOTE_OPTIONS 4
extern const struct telnet_option remote_options[REMOTE_OPTIONS];

/* Whether the other machine does not want COM-PORT-OPTION, or no longer. */
static inline bool
remote_is_refused(const struct telnet *telnet, enum telnet_event event)
{
	return event == TELNET_OPTION && telnet->option == TELNET_COM_PORT &&
	    telnet->option_us && !telnet_has(telnet, TELNET_COM_PORT, true);
}

/*
 * Negotiates on the connection.  done is called with its descriptor when all is agreed;
 * otherwise the endpoint is lost.
 */
void agreement_start(
    struct remote *r, int fd, void (*done)(struct remote *, int fd));
/* Sends a command of telnet. */
void agreement_send(struct remote *r, const uint8_t *data, size_t len);
/* Closes the connection, if it is still being agreed. */
void agreement_cancel(struct remote *r);

/* Asks for all settings, and to be told of modem lines and errors. */
int remote_ask_all(struct remote *r);
/* A subnegotiation was received, also when the connection is up. */
void remote_handle_sub(struct remote *r, const uint8_t *sub, size_t len);

#endif
