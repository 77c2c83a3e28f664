/*
 * ser2net_options: the options of connections, and defaults.
 */
#ifndef SER2NET_OPTIONS_H
#define SER2NET_OPTIONS_H

#include "ser2net.h"

/* What an option becomes. */
enum kind {
	FLAG_TAKEOVER,
	NUMBER_CLIENTS,
	TEXT_GREETING,
	TEXT_OPEN,
	TEXT_CLOSE,
	ADDRESSES,
	FLAG_NOT_TO_CLIENT,
	FLAG_NOT_TO_DEVICE,
	KEPT, /* it is so anyway */
	LOST,
	LOST_FLAG, /* if it is set */
};

struct option {
	const char *name;
	enum kind kind;
	bool prefix;	 /* names that begin with it */
	const char *why; /* it is lost, or NULL */
};

/* All of them; the last one has no name. */
extern const struct option ser2net_options[];
/* The settings of serial ports that may be defaults, NULL-terminated. */
extern const char *const ser2net_serial_options[];

/* NULL: it is not known. */
const struct option *ser2net_option(const char *name);
/* A default, or NULL; its name has its class. */
const struct setting *ser2net_find_default(
    const struct ser2net *s, const char *class, const char *name);
/* The value of a default, or NULL. */
const char *ser2net_default(
    const struct ser2net *s, const char *class, const char *name);
/* Sets a default for what follows, or says why it has no effect. */
void ser2net_set_default(struct ser2net *s, int line, const char *class,
    const char *name, const char *value);

#endif
