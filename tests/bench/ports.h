/*
 * ports: pseudo-terminals and connections, as the load generators open them.
 */
#ifndef PORTS_H
#define PORTS_H

/*
 * A raw pty, whose slave is found as DIR/A0, and so on.  The master does not block; the slave
 * is open as well, so that no hang-up is seen.
 */
void port_pty(const char *dir, char side, unsigned number, int *ret_master,
    int *ret_slave);
/* Connected to a TCP port of this machine; -1: nobody listens. */
int port_connect(unsigned number);

#endif
