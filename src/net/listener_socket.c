/*
 * listener_socket: the sockets of listeners: binds them, or takes those that are open
 * already.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/util.h>

#include "checksum.h"
#include "holder.h"
#include "listener_parts.h"
#include "sandbox.h"

#define BACKLOG 128
/* --- opening ------------------------------------------------------------- */

static const char *
unix_path(const struct listener *l)
{
	return ((const struct sockaddr_un *)&l->conf.address.ss)->sun_path;
}

/*
 * Frees the path: a stale socket, which no process listens on, is removed; any other
 * file is left alone.  Returns -errno and sets err on failure.
 */
static int
remove_stale(const struct listener *l, struct error *err)
{
	const struct sockaddr *sa =
	    (const struct sockaddr *)&l->conf.address.ss;
	struct stat st;
	int fd, r;

	if (lstat(unix_path(l), &st) < 0)
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return error_fail(err, -EEXIST,
		    "%s is there and is no socket; write another path, or"
		    " remove it",
		    unix_path(l));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	r = connect(fd, sa, l->conf.address.len) < 0 ? -errno : 0;
	close(fd);
	if (r == -ECONNREFUSED && unlink(unix_path(l)) == 0)
		return 0;
	if (r != 0 && r != -EAGAIN)
		return 0;
	return error_fail(err, -EADDRINUSE,
	    "cannot listen on %s: it is in use by another program", l->address);
}

/* The permissions of a Unix socket; -1 means that the umask applies.  If only a group
 * is configured, its members may connect. */
static int
socket_mode(const struct listener *l)
{
	if (l->conf.mode < 0 && l->conf.group != NULL)
		return 0660;
	return l->conf.mode;
}

static int
set_owner(struct listener *l, struct error *err)
{
	const struct group *group = NULL;
	int mode = socket_mode(l), r = 0;

	if (l->conf.group != NULL && (group = getgrnam(l->conf.group)) == NULL)
		return error_fail(
		    err, -EINVAL, "there is no group '%s'", l->conf.group);
	if ((group != NULL &&
		chown(unix_path(l), (uid_t)-1, group->gr_gid) < 0) ||
	    (mode >= 0 && chmod(unix_path(l), (mode_t)mode) < 0)) {
		r = -errno;
		error_set(err, "cannot set mode or group of %s: %s%s",
		    l->address, strerror(-r),
		    r == -EPERM && group != NULL
			? " (is the user in that group?)"
			: "");
	}
	return r;
}

/* The umask prevents connections before the mode and the group are set. */
static int
bind_unix(struct listener *l, int fd, struct error *err)
{
	mode_t old = 0;
	int r;

	if ((r = remove_stale(l, err)) < 0)
		return r;
	if (socket_mode(l) >= 0)
		old = umask(0177);
	if (bind(fd, (const struct sockaddr *)&l->conf.address.ss,
		l->conf.address.len) < 0)
		r = -errno;
	if (socket_mode(l) >= 0)
		umask(old);
	if (r < 0)
		return r;
	if (lstat(unix_path(l), &l->socket) < 0)
		return -errno;
	return set_owner(l, err);
}

static int
bind_tcp(struct listener *l, int fd)
{
	const int on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	return bind(fd, (const struct sockaddr *)&l->conf.address.ss,
		   l->conf.address.len) < 0
	    ? -errno
	    : 0;
}

/* Returns a bound, listening socket, or -errno with err set. */
static int
bind_socket(struct listener *l, struct error *err)
{
	int family = l->conf.address.ss.ss_family, fd, r;
	char why[NETWORK_ERROR_MAX];

	error_clear(err);
	fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		r = -errno;
	else if (family == AF_UNIX)
		r = bind_unix(l, fd, err);
	else
		r = bind_tcp(l, fd);
	if (r == 0 && listen(fd, BACKLOG) < 0)
		r = -errno;
	if (r == 0)
		return fd;
	if (!error_is_set(err) && r == -EADDRINUSE && family != AF_UNIX) {
		error_set(err, "cannot listen on %s: in use, ", l->address);
		holder_of_port(false,
		    address_port((const struct sockaddr *)&l->conf.address.ss),
		    err);
	} else if (!error_is_set(err) && family == AF_UNIX) {
		error_set(
		    err, "cannot listen on %s: %s", l->address, strerror(-r));
		error_append_directory_hint(err, unix_path(l), r);
	} else if (!error_is_set(err)) {
		error_set(err, "cannot listen on %s: %s", l->address,
		    network_listen_error(-r, l->address, why, sizeof(why)));
		sandbox_append_bind_hint(err, -r);
		if (r == -EACCES)
			error_append(err,
			    ", or a socket unit that listens on it"
			    " (ListenStream=)");
	}
	if (fd >= 0)
		close(fd);
	return r;
}

/* --- sockets that are already open --------------------------------------- */

/* How well a socket that is already open matches an address, from worst to best. */
enum fit { FIT_NONE, FIT_FAMILY, FIT_WILDCARD, FIT_SAME };

/* Whether the address is the wildcard of its family. */
static bool
is_wildcard(const struct sockaddr *sa)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)sa;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;

	if (sa->sa_family == AF_INET)
		return in->sin_addr.s_addr == htonl(INADDR_ANY);
	return sa->sa_family == AF_INET6 &&
	    IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr);
}

/* Whether a socket bound to the wildcard receives what is sent to an IPv4 address. */
static bool
takes_ipv4(int fd, int family)
{
	socklen_t len = sizeof(int);
	int only = 1;

	return family == AF_INET ||
	    (getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &len) == 0 &&
		!only);
}

/*
 * How well the socket matches the configured address.  A socket bound to the wildcard
 * address also matches the wildcard address of the other family and a loopback address,
 * if the port is the same; 'allow' decides which clients are accepted.
 */
static enum fit
socket_fit(const struct listener *l, int fd)
{
	const struct sockaddr *want =
	    (const struct sockaddr *)&l->conf.address.ss;
	struct sockaddr_storage ss;
	const struct sockaddr *has = (const struct sockaddr *)&ss;
	socklen_t len = sizeof(ss), size = sizeof(int);
	char there[ADDRESS_TEXT_MAX];
	int listens = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0 ||
	    !listens || getsockname(fd, (struct sockaddr *)&ss, &len) < 0 ||
	    (has->sa_family == AF_UNIX) != (want->sa_family == AF_UNIX))
		return FIT_NONE;
	address_format(has, len, there, sizeof(there));
	if (strcmp(there, l->address) == 0)
		return FIT_SAME;
	if (is_wildcard(has) && address_port(has) == address_port(want) &&
	    (is_wildcard(want) || address_is_loopback(want)) &&
	    (want->sa_family == AF_INET6 ? has->sa_family == AF_INET6
					 : takes_ipv4(fd, has->sa_family)))
		return FIT_WILDCARD;
	return FIT_FAMILY;
}

/*
 * Returns a duplicate of a listening socket that was passed by the service manager.
 * The original stays open and can be used again after the duplicate is closed.  A
 * socket that has the name of the section is preferred, whatever its address is.
 */
static int
passed_socket(const struct listener *l)
{
	struct left *p, *best = NULL;
	int fd, score, best_score = FIT_FAMILY;

	TAILQ_FOREACH(p, left_all(), entry) {
		if (left_is_kept(p))
			continue;
		score = (int)socket_fit(l, p->fd);
		if (score > FIT_NONE && strcmp(p->name, l->conf.name) == 0)
			score += FIT_SAME;
		if (score > best_score) {
			best = p;
			best_score = score;
		}
	}
	fd = best != NULL ? fcntl(best->fd, F_DUPFD_CLOEXEC, 3) : -1;
	if (fd >= 0 && evutil_make_socket_nonblocking(fd) < 0) {
		close(fd);
		fd = -1;
	}
	if (fd >= 0)
		best->claimed = true;
	return fd;
}

/*
 * Identifies the file of a Unix socket, to detect that another program has replaced it.
 * Never 0.  Permissions and owner are not included, because they may change.
 */
static uint32_t
file_identity(const struct stat *st)
{
	const uint64_t part[] = { st->st_dev, st->st_ino,
		(uint64_t)st->st_mtim.tv_sec, (uint64_t)st->st_mtim.tv_nsec };

	return MAX(crc32_ieee(0, (const uint8_t *)part, sizeof(part)), 1u);
}

/* The name under which the socket is kept for the next process includes the identity
 * of its file: "lan listener#ID@TEXT". */
static void
kept_name(const struct listener *l, char *buf, size_t size)
{
	const char *end = strrchr(l->conf.keep, '@');

	if (l->socket.st_ino == 0 || end == NULL)
		snprintf(buf, size, "%s", l->conf.keep);
	else
		snprintf(buf, size, "%.*s#%u%s", (int)(end - l->conf.keep),
		    l->conf.keep, file_identity(&l->socket), end);
}

/* Takes the kept socket and stores the name that it was kept under.  *ret_id is 0 if
 * an older version kept it, which did not record the identity of the file. */
static int
take_socket(const struct listener *l, char *name, size_t size, unsigned *ret_id)
{
	const char *end = strrchr(l->conf.keep, '@');
	int at = end != NULL ? (int)(end - l->conf.keep) : 0, fd = -ENOENT;

	*ret_id = 0;
	snprintf(name, size, "%.*s#", at, l->conf.keep);
	if (at > 0 && l->conf.address.ss.ss_family == AF_UNIX)
		fd = left_take_number(name, end, ret_id);
	if (fd >= 0) {
		append(name, size, "%u%s", *ret_id, end);
		return fd;
	}
	snprintf(name, size, "%s", l->conf.keep);
	return left_take(name);
}

/* Whether the file at its path is still the file of this socket. */
static bool
is_found(struct listener *l, unsigned id)
{
	struct stat st;

	if (l->conf.address.ss.ss_family != AF_UNIX)
		return true;
	if (lstat(unix_path(l), &st) < 0 || !S_ISSOCK(st.st_mode))
		return false;
	if (id != 0 && id == file_identity(&st))
		l->socket = st;
	return id == 0 || id == file_identity(&st);
}

/* Takes the socket of the previous process, and closes it if it cannot be used. */
static int
kept_socket(struct listener *l)
{
	char name[KEEP_NAME_MAX];
	unsigned id;
	int fd = take_socket(l, name, sizeof(name), &id);

	if (fd < 0)
		return fd;
	if (socket_fit(l, fd) != FIT_NONE &&
	    evutil_make_socket_nonblocking(fd) == 0 && is_found(l, id))
		return fd;
	shutdown(fd, SHUT_RDWR);
	close(fd);
	keep_forget(name);
	return -1;
}

int
listener_socket(struct listener *l, struct error *err)
{
	char name[KEEP_NAME_MAX];
	int fd = passed_socket(l);

	l->adopted = fd >= 0;
	if (fd < 0 && l->conf.keep != NULL) {
		if ((fd = kept_socket(l)) < 0)
			fd = bind_socket(l, err);
		else
			l->adopted = true;
		kept_name(l, name, sizeof(name));
		if (fd >= 0)
			keep_add(&l->kept, fd, name);
	} else if (fd < 0)
		fd = bind_socket(l, err);
	return fd;
}

void
listener_release(struct listener *l)
{
	struct stat st;

	if (keep_remove(&l->kept))
		shutdown(l->kept.fd, SHUT_RDWR);
	if (l->socket.st_ino != 0 && lstat(unix_path(l), &st) == 0 &&
	    file_identity(&st) == file_identity(&l->socket))
		unlink(unix_path(l));
}
