/*
 * limit: what its parts share.
 */
#ifndef LIMIT_H
#define LIMIT_H

/* Opens DIR/A0, and so on, raw and without blocking. */
int limit_open_tty(const char *dir, char side, unsigned number);
/* Listens on a TCP port of this machine. */
int limit_listen(unsigned port);
/* Joins DIR/A0 with one client of TLS, whose certificate is server.crt and server.key
 * beside the program; does not return. */
_Noreturn void limit_tls(const char *dir, unsigned port);

#endif
