/*
 * keepalive: detects that the peer of a TCP connection has disappeared.
 */
#ifndef KEEPALIVE_H
#define KEEPALIVE_H

#include "link.h"

/* The value of 'keepalive': yes, no or a time; a uint64_t, 0: no. */
int keepalive_parse(void *field, const char *value, struct error *err);
void keepalive_print(const void *field, char *buf, size_t size);
/*
 * From now on the link is closed if its peer acknowledges nothing for that time, although
 * it is probed or sent data.  0: it is not.  No effect on a link that is down.
 */
void link_keepalive(struct link *link, uint64_t ns);

#endif
