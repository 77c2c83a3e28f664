/*
 * nss: a name service for the tests, "ttybridge" in nsswitch.conf.  It knows one name, of
 * 127.0.0.1, and answers only once somebody opens the FIFO $NSS_GATE for writing, if that
 * is set.
 */
#include <arpa/inet.h>

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <nss.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME "known-to-the-module.example"

struct buffer {
	char *addresses[2], *aliases[1];
	struct in_addr address;
	char name[sizeof(NAME)];
};

enum nss_status _nss_ttybridge_gethostbyname2_r(const char *name, int family,
    struct hostent *ret, char *buf, size_t size, int *e, int *h);

enum nss_status
_nss_ttybridge_gethostbyname2_r(const char *name, int family,
    struct hostent *ret, char *buf, size_t size, int *e, int *h)
{
	const char *gate = getenv("NSS_GATE");
	struct buffer *b = (void *)buf;
	int fd;

	if (strcmp(name, NAME) != 0 || family != AF_INET) {
		*h = HOST_NOT_FOUND;
		return NSS_STATUS_NOTFOUND;
	}
	if (size < sizeof(*b)) {
		*e = ERANGE;
		*h = NETDB_INTERNAL;
		return NSS_STATUS_TRYAGAIN;
	}
	if (gate != NULL && (fd = open(gate, O_RDONLY | O_CLOEXEC)) >= 0)
		close(fd);
	memset(b, 0, sizeof(*b));
	memcpy(b->name, NAME, sizeof(NAME));
	b->address.s_addr = htonl(INADDR_LOOPBACK);
	b->addresses[0] = (char *)&b->address;
	*ret = (struct hostent){
		.h_name = b->name,
		.h_aliases = b->aliases,
		.h_addrtype = AF_INET,
		.h_length = sizeof(b->address),
		.h_addr_list = b->addresses,
	};
	return NSS_STATUS_SUCCESS;
}
