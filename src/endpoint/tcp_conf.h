/*
 * tcp_conf: the keys that tcp-server and tcp-client share.
 */
#ifndef TCP_CONF_H
#define TCP_CONF_H

#include <stddef.h>

#include "keepalive.h"
#include "key.h"

enum protocol { PROTOCOL_RAW, PROTOCOL_TELNET, PROTOCOL_RFC2217 };

struct tcp_conf {
	int protocol;	    /* enum protocol */
	uint64_t keepalive; /* ns, 0: no */
};

static const char *const protocol_words[] = {
	[PROTOCOL_RAW] = "raw",
	[PROTOCOL_TELNET] = "telnet",
	[PROTOCOL_RFC2217] = "rfc2217",
	NULL,
};

/* Rows of a key table for the struct owner, whose member tcp is a struct tcp_conf. */
#define TCP_KEY_PROTOCOL(owner)                                        \
	{                                                              \
		.name = "protocol", .type = KEY_WORD,                  \
		.offset = offsetof(owner, tcp.protocol), .def = "raw", \
		.words = protocol_words,                               \
		.help = "what is spoken on the connection",            \
	}
#define TCP_KEY_CONNECT_TIMEOUT(owner)                                    \
	{                                                                 \
		.name = "connect_timeout", .type = KEY_TIME,              \
		.offset = offsetof(owner, connect_timeout), .def = "10s", \
		.in_place = true, .min = NSEC_PER_MSEC,                   \
		.max = 3600 * NSEC_PER_SEC,                               \
		.help = "how long an answer may take",                    \
	}
#define TCP_KEY_KEEPALIVE(owner)                                        \
	{                                                               \
		.name = "keepalive", .type = KEY_CUSTOM,                \
		.offset = offsetof(owner, tcp.keepalive), .def = "yes", \
		.parse = keepalive_parse, .print = keepalive_print,     \
		.size = sizeof(uint64_t), .in_place = true,             \
		.help = "a peer that acknowledges nothing for that "    \
			"long is lost; yes is 30s",                     \
	}

#endif
