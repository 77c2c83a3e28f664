/*
 * tcp: functions for TCP connections, whether accepted or initiated.
 */
#ifndef TCP_H
#define TCP_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Makes the kernel probe the peer while the connection is idle, and end the connection
 * (ETIMEDOUT) when the peer has sent nothing for that time, in whole seconds and at
 * least TCP_KEEPALIVE_MIN.  0: the peer is not probed.
 */
#define TCP_KEEPALIVE_MIN (2 * NSEC_PER_SEC)
void tcp_keepalive(int fd, uint64_t ns);
/*
 * Whether the peer has yet to acknowledge data or a probe.  If so, *silent is the time
 * since anything was received from it.
 */
bool tcp_unacknowledged(int fd, uint64_t *silent);

#endif
