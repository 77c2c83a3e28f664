/*
 * ports: opens pseudo-terminals and connections.
 */
#include <sys/socket.h>

#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "ports.h"

void
port_pty(const char *dir, char side, unsigned number, int *ret_master,
    int *ret_slave)
{
	char link[256], tty[64];
	struct termios t;
	int m = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK), s;

	if (m == -1 || grantpt(m) == -1 || unlockpt(m) == -1 ||
	    ptsname_r(m, tty, sizeof(tty)) != 0 ||
	    (s = open(tty, O_RDWR | O_NOCTTY | O_CLOEXEC)) == -1)
		err(1, "no pty");
	tcgetattr(s, &t);
	cfmakeraw(&t);
	cfsetspeed(&t, B115200);
	tcsetattr(s, TCSANOW, &t);
	snprintf(link, sizeof(link), "%s/%c%u", dir, side, number);
	unlink(link);
	if (symlink(tty, link) == -1)
		err(1, "%s", link);
	*ret_master = m;
	*ret_slave = s;
}

int
port_connect(unsigned number)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)number),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd == -1)
		err(1, "socket");
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == -1) {
		close(fd);
		return -1;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}
