/*
 * tcp: what TCP connections have in common, made or accepted.
 */
#ifndef TCP_H
#define TCP_H

/* A peer that vanished without closing the connection is noticed after about two minutes. */
void tcp_keepalive(int fd);

#endif
