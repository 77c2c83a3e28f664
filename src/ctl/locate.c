/*
 * locate: finds the control port of the daemon.
 *
 * The configuration is read by the daemon's own program, which is beside this one, so
 * that there is one parser.  Ports on Unix sockets are tried first, because they usually
 * have access = full, and those with TLS last, because they need certificates.
 */
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "locate.h"

#define NOT_RUNNING                                            \
	"; is the daemon running, and is this the 'listen' of" \
	" its [control] section?"

extern char **environ;

/* --- the configuration ------------------------------------------------------ */

/* The path of the daemon's program beside this one, or its name. */
static void
daemon_program(char *buf, size_t size)
{
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	const char *slash;

	exe[MAX(n, (ssize_t)0)] = '\0';
	slash = strrchr(exe, '/');
	snprintf(buf, size, "%.*s/ttybridged",
	    slash != NULL ? (int)(slash - exe) : 0, exe);
	if (slash == NULL || access(buf, X_OK) < 0)
		snprintf(buf, size, "ttybridged");
}

/* Starts the program with its output in a pipe; the end to be read, or -errno. */
static int
spawn_check(const char *config, bool keys, pid_t *pid)
{
	char program[PATH_MAX + 16];
	char *argv[8] = { program, "--check", "--json" };
	int n = 3;
	posix_spawn_file_actions_t actions;
	int fds[2], r;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	daemon_program(program, sizeof(program));
	if (keys)
		argv[n++] = "--verbose";
	if (config != NULL) {
		argv[n++] = "-c";
		argv[n++] = (char *)(uintptr_t)config;
	}
	argv[n] = NULL;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
	posix_spawn_file_actions_addopen(
	    &actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	r = posix_spawnp(pid, program, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(fds[1]);
	if (r == 0)
		return fds[0];
	close(fds[0]);
	return -r;
}

json_t *
locate_config(const char *config, bool keys)
{
	json_t *found = NULL;
	int status, fd;
	pid_t pid;
	FILE *f;

	if ((fd = spawn_check(config, keys, &pid)) < 0)
		return NULL;
	/* json_loadfd() reads byte by byte. */
	if ((f = fdopen(fd, "r")) != NULL) {
		found = json_loadf(f, 0, NULL);
		fclose(f);
	} else
		close(fd);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return found;
}

/* --- trying ----------------------------------------------------------------- */

static int
set_target(struct target *ret, const char *address, const struct tls_conf *tls,
    bool on, struct error *err)
{
	char *copy = strdup(address);

	if (copy == NULL)
		return error_fail(err, -ENOMEM, "out of memory");
	free(ret->address);
	ret->address = copy;
	ret->tls = *tls;
	ret->tls.on |= on;
	return 0;
}

void
target_free(struct target *target)
{
	free(target->address);
	target->address = NULL;
}

static bool
is_unix(const char *listen)
{
	return *listen == '/' || strncmp(listen, "unix:", 5) == 0;
}

/* The user may not open the socket; its directory may hide whose it is. */
static void
append_permission_hint(struct error *err, const char *address)
{
	const char *path = strchr(address, '/');
	const struct group *gr = NULL;
	struct stat st;

	if (path != NULL && stat(path, &st) == 0 && (st.st_mode & 060) == 060 &&
	    st.st_gid != 0)
		gr = getgrgid(st.st_gid);
	if (gr != NULL)
		error_append(err, " (is the user in group %s?)", gr->gr_name);
	else
		error_append(err,
		    "; 'mode' and 'group' of its [control] section say who may"
		    " use it");
}

static int
try_address(const struct where *where, const char *address, bool tls,
    struct target *ret, struct connection **connection, struct error *err)
{
	int r;

	if ((r = set_target(ret, address, &where->tls, tls, err)) < 0)
		return r;
	r = connection_open(ret, where->timeout_ms, connection, err);
	if (r == -EACCES && is_unix(address))
		append_permission_hint(err, address);
	return r;
}

/* The user has named the address. */
static int
try_named(const struct where *where, const char *address, struct target *ret,
    struct connection **connection, struct error *err)
{
	int r = try_address(where, address, false, ret, connection, err);

	if (r == -ECONNREFUSED)
		error_append(err, NOT_RUNNING);
	return r;
}

/* Tries the ports of one kind: 0: Unix sockets, 1: TCP, 2: with TLS. */
static int
try_kind(const struct where *where, const json_t *controls, int kind,
    struct target *ret, struct connection **connection, struct error *err)
{
	const char *listen;
	const json_t *each;
	int tls, r = -ENOENT;
	size_t i;

	json_array_foreach(controls, i, each)
	{
		if (json_unpack((json_t *)each, "{s:s, s:b}", "listen", &listen,
			"tls", &tls) < 0 ||
		    (tls		      ? 2
			    : is_unix(listen) ? 0
					      : 1) != kind)
			continue;
		r = try_address(where, listen, tls, ret, connection, err);
		if (r == 0 || r == -EINTR)
			break;
	}
	return r;
}

/* -EINVAL: the file that the user has named is of no use. */
static int
try_config(const struct where *where, const json_t *config, struct target *ret,
    struct connection **connection, struct error *err)
{
	const json_t *controls = json_object_get(config, "controls");
	const char *fault = json_string_value(
	    json_array_get(json_object_get(config, "faults"), 0));
	int n, r = -ENOENT;

	if (where->config != NULL && config == NULL)
		return error_fail(
		    err, -EINVAL, "'ttybridged --check' cannot be run");
	/* Only the last kind has TLS. */
	for (int kind = where->tls.on ? 2 : 0; kind < 3; kind++) {
		n = try_kind(where, controls, kind, ret, connection, err);
		if (n == 0 || n == -EINTR)
			return n;
		if (n != -ENOENT)
			r = n;
	}
	if (where->config != NULL && fault != NULL)
		return error_fail(err, -EINVAL, "%s", fault);
	if (!error_is_set(err) && where->config != NULL)
		return error_fail(err, -EINVAL,
		    "%s has no [control] section%s; write one, such as"
		    " listen = " LOCATE_DEFAULT,
		    where->config, where->tls.on ? " with TLS" : "");
	return r;
}

static int
try_socket(const struct where *where, const char *path, struct target *ret,
    struct connection **connection, struct error *err)
{
	char full[PATH_MAX];

	if (strncmp(path, "unix:", 5) == 0)
		path += 5;
	if (realpath(path, full) == NULL)
		return error_fail(err, -errno, "cannot connect to %s: %s%s",
		    path, strerror(errno), errno == ENOENT ? NOT_RUNNING : "");
	return try_named(where, full, ret, connection, err);
}

/*
 * Asks for the version, so that what the user wants is not sent to a port of another kind,
 * such as one that passes it on to devices.
 */
static int
check_port(const struct where *where, struct connection *c, struct error *err)
{
	struct error why;
	json_t *version;
	int r;

	/* A control port ignores an empty line, a web server replies to it. */
	r = connection_query(c, "version\n", &version, &why);
	json_decref(version);
	if (r == 0 || r == -EINTR)
		return r;
	/* The port has refused a client, or is encrypted. */
	if (r == -EPROTO)
		return error_fail(err, r, "%s", why.text);
	if (!c->heard && r == -ECONNRESET && !where->tls.on)
		return error_fail(err, r,
		    "%s has ended the connection without a reply: it is no"
		    " control port, or this port is encrypted: use --tls --ca"
		    " FILE",
		    where->host);
	return error_fail(err, r, "%s: %s%s", where->host, why.text,
	    r == -EBADMSG ? "" : "; is it a control port?");
}

static int
try_host(const struct where *where, struct target *ret,
    struct connection **connection, struct error *err)
{
	int r = try_named(where, where->host, ret, connection, err);

	if (r == 0 && (r = check_port(where, *connection, err)) < 0) {
		connection_close(*connection);
		*connection = NULL;
	}
	return r;
}

int
locate(const struct where *where, struct target *ret,
    struct connection **connection, struct error *err)
{
	struct error first = { "" };
	const char *socket;
	json_t *config;
	int n, r;

	error_clear(err);
	if (where->host != NULL)
		return try_host(where, ret, connection, err);
	socket = where->socket;
	if (socket == NULL && where->config == NULL && !where->tls.on)
		socket = getenv(LOCATE_ENVIRONMENT);
	if (socket != NULL && *socket != '\0')
		return try_socket(where, socket, ret, connection, err);
	config = where->parsed != NULL ? json_incref(where->parsed)
				       : locate_config(where->config, false);
	r = try_config(where, config, ret, connection, &first);
	json_decref(config);
	if (r == 0)
		return 0;
	if (where->config == NULL && !where->tls.on) {
		n = try_address(
		    where, LOCATE_DEFAULT, false, ret, connection, err);
		if (n == 0)
			return 0;
		if (!error_is_set(&first))
			r = n;
	}
	if (error_is_set(&first))
		*err = first;
	if (r != -EINVAL && r != -EACCES)
		error_append(err,
		    "; is the daemon running? --socket PATH or --host"
		    " HOST:PORT says where");
	return r;
}
