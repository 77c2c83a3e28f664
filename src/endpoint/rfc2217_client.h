/*
 * rfc2217_client: a serial line of another machine, as far as RFC 2217 tells about it.
 * Without a descriptor.
 *
 * Each setting that is asked for is answered with what the line does then, which may
 * differ.  Modem lines and errors are told by notifications.
 */
#ifndef RFC2217_CLIENT_H
#define RFC2217_CLIENT_H

#include "endpoint.h"
#include "line_control.h"
#include "pack.h"

enum rfc2217_setting {
	SETTING_BAUD,
	SETTING_BITS,
	SETTING_PARITY,
	SETTING_STOP,
	SETTING_FLOW,
	SETTINGS
};

struct rfc2217_client {
	/* Sends the value of a subnegotiation of TELNET_COM_PORT; false: there is no
	 * room. */
	bool (*send)(void *arg, const uint8_t *data, size_t len);
	void *arg;
	struct line_settings asked, told;
	unsigned awaited[SETTINGS]; /* answers that are due */
	unsigned signals;	    /* TIOCM_*, as far as they are known */
	bool suspended;		    /* the other side wants no data now */
	struct line_errors errors;  /* that it has told */
};

void rfc2217_client_init(struct rfc2217_client *c,
    bool (*send)(void *, const uint8_t *, size_t), void *arg);
/* Asks for the settings that differ from those asked for before, or for all. */
int rfc2217_client_set(
    struct rfc2217_client *c, const struct line_settings *line, bool all);
/* Asks to be notified of changes of the modem lines, and of errors. */
int rfc2217_client_watch(struct rfc2217_client *c);
/* The following return -ENOBUFS if there is no room. */
int rfc2217_client_signals(
    struct rfc2217_client *c, unsigned mask, unsigned levels);
int rfc2217_client_break(struct rfc2217_client *c, bool on);
int rfc2217_client_purge(struct rfc2217_client *c, bool input, bool output);
/* Handles the value of a subnegotiation of TELNET_COM_PORT.  Returns false if it means
 * nothing. */
bool rfc2217_client_receive(
    struct rfc2217_client *c, const uint8_t *data, size_t len);
/* Whether all settings that were asked for are answered. */
bool rfc2217_client_settled(const struct rfc2217_client *c);
/* The settings of the line; where an answer is due, those asked for. */
void rfc2217_client_get(
    const struct rfc2217_client *c, struct line_settings *ret);
/* Lists the settings whose answers are due: "baud, flow". */
void rfc2217_client_awaited(
    const struct rfc2217_client *c, char *buf, size_t size);
/* Describes the settings that the line does not have as asked for; "" if there is
 * none. */
void rfc2217_client_difference(
    const struct rfc2217_client *c, char *buf, size_t size);
/* The state for the next process; what is restored is not trusted. */
void rfc2217_client_save(const struct rfc2217_client *c, struct pack *p);
void rfc2217_client_restore(struct rfc2217_client *c, struct unpack *u);

#endif
