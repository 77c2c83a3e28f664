/*
 * endpoint_tcp: what TCP connections have in common, made or accepted.
 */
#ifndef ENDPOINT_TCP_H
#define ENDPOINT_TCP_H

/* A peer that is gone without a word is noticed after about two minutes. */
void tcp_keepalive(int fd);

#endif
