/*
 * tcp_conf: the keys that tcp-server and tcp-client share.
 */
#ifndef TCP_CONF_H
#define TCP_CONF_H

#include <stddef.h>

#include "keepalive.h"
#include "key.h"

struct tcp_conf {
	int protocol;	    /* index into protocol_words */
	uint64_t keepalive; /* ns, 0: no */
};

static const char *const protocol_words[] = {
	"raw",
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
#define TCP_KEY_KEEPALIVE(owner)                                        \
	{                                                               \
		.name = "keepalive", .type = KEY_CUSTOM,                \
		.offset = offsetof(owner, tcp.keepalive), .def = "yes", \
		.parse = keepalive_parse, .print = keepalive_print,     \
		.in_place = true,                                       \
		.help = "a peer that acknowledges nothing for that "    \
			"long is lost; yes is 30s",                     \
	}

#endif
