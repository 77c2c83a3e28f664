/*
 * limit_ports: the ports of the limit.
 */
#include <sys/socket.h>

#include <err.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <termios.h>

#include "limit.h"

int
limit_open_tty(const char *dir, char side, unsigned number)
{
	char path[256];
	struct termios t;
	int fd;

	snprintf(path, sizeof(path), "%s/%c%u", dir, side, number);
	if ((fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK)) == -1)
		err(1, "%s", path);
	tcgetattr(fd, &t);
	cfmakeraw(&t);
	tcsetattr(fd, TCSANOW, &t);
	return fd;
}

int
limit_listen(unsigned port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) == -1 ||
	    listen(fd, SOMAXCONN) == -1)
		err(1, "port %u", port);
	return fd;
}
