/*
 * tcp: what TCP connections have in common, made or accepted.
 */
#ifndef TCP_H
#define TCP_H

/* A peer that is gone without a word is noticed after about two minutes. */
void tcp_keepalive(int fd);

#endif
