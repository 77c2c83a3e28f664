/*
 * telnet: the telnet protocol (RFC 854, 855), without a descriptor.
 *
 * Options are negotiated with the Q method of RFC 1143: a request is answered only when
 * it changes a state, so that two implementations never answer each other endlessly.
 *
 * Commands and the answers to them are sent with a callback; telnet_decode() returns when
 * the owner must handle a command, and continues after that when it is called again.
 */
#ifndef TELNET_H
#define TELNET_H

#include "pack.h"

/* Commands. */
enum {
	TELNET_SE = 240,
	TELNET_NOP,
	TELNET_DM,
	TELNET_BRK,
	TELNET_IP,
	TELNET_AO,
	TELNET_AYT,
	TELNET_EC,
	TELNET_EL,
	TELNET_GA,
	TELNET_SB,
	TELNET_WILL,
	TELNET_WONT,
	TELNET_DO,
	TELNET_DONT,
	TELNET_IAC
};

/* Options: RFC 856, 857, 858, 2217. */
enum {
	TELNET_BINARY = 0,
	TELNET_ECHO = 1,
	TELNET_SGA = 3,
	TELNET_COM_PORT = 44
};

/* What is known about an option; all others are refused. */
struct telnet_option {
	uint8_t code;
	bool accept_us, accept_him; /* if the other side asks for it */
	bool offer_us, offer_him;   /* we ask for it at the beginning */
};
#define TELNET_OPTIONS_MAX 8

/* The longest subnegotiation, its option included; a longer one is discarded. */
#define TELNET_SUB_MAX 256

enum telnet_event {
	TELNET_NOTHING, /* all input was decoded */
	/* The other side asked for an option or dropped it, or answered: telnet->option,
	 * telnet->option_us; the answer was sent. */
	TELNET_OPTION,
	/* A subnegotiation: telnet->sub, telnet->sub_len, the option first. */
	TELNET_SUBNEGOTIATION,
	TELNET_COMMAND /* another one: telnet->command */
};

/* The state of an option on one side.  It is never given up, so that the other states of
 * RFC 1143 do not occur. */
enum telnet_state { TELNET_NO, TELNET_YES, TELNET_WANT_YES };

struct telnet {
	const struct telnet_option *options;
	unsigned noptions;
	/* Sends a command of len bytes. */
	void (*send)(void *arg, const uint8_t *data, size_t len);
	void *arg;
	uint8_t us[TELNET_OPTIONS_MAX], him[TELNET_OPTIONS_MAX];
	uint8_t parser; /* state of the decoder */
	bool cr;	/* the last byte was CR, without BINARY */
	/* Whether data is binary. */
	bool binary_in, binary_out;
	uint8_t command, option;
	bool option_us;
	bool sub_long; /* it did not fit */
	unsigned sub_len;
	uint8_t sub[TELNET_SUB_MAX];
	uint64_t
	    malformed; /* subnegotiations discarded; the owner may clear it */
};

/* options: up to TELNET_OPTIONS_MAX, valid as long as the telnet is. */
void telnet_init(struct telnet *telnet, const struct telnet_option *options,
    unsigned n, void (*send)(void *, const uint8_t *, size_t), void *arg);
/* Sends the offers. */
void telnet_offer(struct telnet *telnet);
/* Treats all offers as accepted, without sending anything: the connection was opened by
 * another process. */
void telnet_assume(struct telnet *telnet);
/* Whether we, or the other side, have the option. */
bool telnet_has(const struct telnet *telnet, uint8_t code, bool us);
/*
 * Decodes input up to the end of a command that is returned as *event.  Returns the number
 * of bytes written to out, which may be in; *used: how much of the input was decoded.
 */
size_t telnet_decode(struct telnet *telnet, uint8_t *out, const uint8_t *in,
    size_t len, size_t *used, enum telnet_event *event);
/* The number of bytes at the beginning of data that are sent as they are. */
size_t telnet_plain(
    const struct telnet *telnet, const uint8_t *data, size_t len);
/*
 * Encodes whole bytes of data, as many as fit into size bytes at out, at most two for each.
 * Returns the number of bytes written to out; *used: the number of bytes encoded.
 */
size_t telnet_encode(const struct telnet *telnet, const uint8_t *data,
    size_t len, uint8_t *out, size_t size, size_t *used);
/* The size of a subnegotiation with len bytes, at most. */
#define TELNET_SUB_SIZE(len) (2 * (len) + 5)
/*
 * Writes the subnegotiation of an option to out, which has TELNET_SUB_SIZE(len) bytes;
 * returns its length.
 */
size_t telnet_sub(
    uint8_t *out, uint8_t option, const uint8_t *data, size_t len);
/* The state for the next process; what is restored is not trusted. */
void telnet_save(const struct telnet *telnet, struct pack *p);
void telnet_restore(struct telnet *telnet, struct unpack *u);

#endif
