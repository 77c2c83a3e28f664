/*
 * tcp: functions for TCP connections, whether accepted or initiated.
 */
#ifndef TCP_H
#define TCP_H

/* Enables keepalive: a peer that disappeared without closing the connection is
 * detected after about two minutes. */
void tcp_keepalive(int fd);

#endif
