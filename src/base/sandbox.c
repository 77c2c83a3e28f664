/*
 * sandbox: what a service is not allowed to do, and how to allow it.
 *
 * The unit that is shipped has no network: RestrictAddressFamilies= makes socket()
 * fail with EAFNOSUPPORT.  With the drop-in network.conf, IPAddressAllow= makes
 * connect() and sendto() fail with EPERM for networks that it does not list.
 */
#include <sys/socket.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sandbox.h"
#include "util.h"

#define DROP_IN "share/doc/ttybridge/examples/network.conf"

/*
 * Finds the unit of the service; false when this process is not a service.
 * sd_pid_get_unit() is not used because it needs /proc/1, which ProtectProc= hides.
 */
static bool
find_unit(char *buf, size_t size)
{
	static const char suffix[] = ".service";
	char path[PATH_MAX] = "", *name;
	FILE *f = fopen("/proc/self/cgroup", "re");
	size_t len;

	if (f == NULL)
		return false;
	if (fgets(path, sizeof(path), f) == NULL)
		path[0] = '\0';
	fclose(f);
	path[strcspn(path, "\n")] = '\0';
	name = strrchr(path, '/');
	name = name != NULL ? name + 1 : path;
	len = strlen(name);
	if (len < sizeof(suffix) ||
	    strcmp(name + len - strlen(suffix), suffix) != 0)
		return false;
	snprintf(buf, size, "%s", name);
	return true;
}

/* The path of the installed drop-in, relative to the program, PREFIX/bin/ttybridged. */
static void
find_drop_in(char *buf, size_t size)
{
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	snprintf(buf, size, "network.conf");
	if (n <= 0)
		return;
	exe[n] = '\0';
	for (int i = 0; i < 2 && strrchr(exe, '/') != NULL; i++)
		*strrchr(exe, '/') = '\0';
	snprintf(buf, size, "%.128s/" DROP_IN, exe);
}

/* Whether IPv4 sockets are allowed.  If so, the kernel lacks the other address family
 * (IPv6), and the unit does not forbid it. */
static bool
has_network(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

const char *
network_listen_error(int e, const char *address, char *buf, size_t size)
{
	char unit[96];

	if (e != EAFNOSUPPORT || !find_unit(unit, sizeof(unit)) ||
	    has_network())
		return network_error(e, buf, size);
	/* systemd takes no '*'. */
	snprintf(buf, size,
	    "the service has no network; systemd can listen for it: systemctl"
	    " edit ttybridge.socket, with ListenStream=%.100s in [Socket],"
	    " then systemctl stop ttybridge.socket && systemctl restart %s",
	    strncmp(address, "*:", 2) == 0 ? address + 2 : address, unit);
	return buf;
}

const char *
network_error(int e, char *buf, size_t size)
{
	char unit[96], drop_in[192];

	if ((e != EAFNOSUPPORT && e != EPERM) || !find_unit(unit, sizeof(unit)))
		snprintf(buf, size, "%s", strerror(e));
	else if (e == EPERM)
		snprintf(buf, size,
		    "not permitted: IPAddressAllow= of %s does not list it"
		    " (systemctl edit %s)",
		    unit, unit);
	else if (has_network())
		snprintf(buf, size, "%s", strerror(e));
	else {
		find_drop_in(drop_in, sizeof(drop_in));
		snprintf(buf, size,
		    "the service has no network; to give it one: install -D -t"
		    " /etc/systemd/system/%s.d %s && systemctl daemon-reload &&"
		    " systemctl restart %s",
		    unit, drop_in, unit);
	}
	return buf;
}

void
sandbox_append_bind_hint(struct error *err, int e)
{
	if (e == EACCES)
		error_append(err,
		    "; a port below 1024 needs the capability"
		    " CAP_NET_BIND_SERVICE (AmbientCapabilities= of a systemd"
		    " unit)");
	else if (e == EADDRNOTAVAIL)
		error_append(
		    err, "; no interface of this machine has this address");
}
