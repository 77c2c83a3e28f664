/*
 * tcp: options and the state of TCP connections.
 */
#include <sys/socket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "tcp.h"
#include "util.h"

#define PROBES_MAX 5

void
tcp_keepalive(int fd, uint64_t ns)
{
	const int total = (int)((ns + NSEC_PER_SEC - 1) / NSEC_PER_SEC),
		  on = ns != 0, probes = MAX(1, MIN(PROBES_MAX, total / 2)),
		  interval = total / 2 / probes,
		  idle = total - interval * probes;

	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	if (!on)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
}

bool
tcp_unacknowledged(int fd, uint64_t *silent)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return false;
	*silent = MIN(info.tcpi_last_ack_recv, info.tcpi_last_data_recv) *
	    NSEC_PER_MSEC;
	return info.tcpi_unacked > 0 || info.tcpi_probes > 0;
}
