/*
 * tls: loads the shared object that uses OpenSSL, and checks the keys of TLS.
 *
 * It is found beside the program in a build tree, and in lib/ttybridge where it is
 * installed.  After an upgrade the program that runs may be older than the object; they
 * must be of the same version, because the interface may differ.
 */
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tls.h"

#define OBJECT "ttybridge-tls.so"

const struct tls_library *tls_library;

static const char *const places[] = { "", "../lib/ttybridge/", "../" };

/* --- loading -------------------------------------------------------------- */

/* The path of the object, in the last of the places if it is in none. */
static void
find_object(char *buf, size_t size)
{
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	const char *slash;

	exe[MAX(n, (ssize_t)0)] = '\0';
	slash = strrchr(exe, '/');
	for (size_t i = 0; i < NELEM(places); i++) {
		snprintf(buf, size, "%.*s/%s" OBJECT,
		    slash != NULL ? (int)(slash - exe) : 0, exe, places[i]);
		if (access(buf, R_OK) == 0)
			return;
	}
	snprintf(buf, size, "%s", OBJECT);
}

static int
load_object(struct error *err)
{
	const struct tls_library *library = NULL;
	char path[PATH_MAX + 64];
	const char *why;
	void *handle;

	find_object(path, sizeof(path));
	if (strchr(path, '/') == NULL)
		return error_fail(err, -ELIBACC,
		    "'tls': this program was built without TLS: there is no"
		    " " OBJECT " beside it or in ../lib/ttybridge");
	if ((handle = dlopen(path, RTLD_NOW | RTLD_LOCAL)) != NULL)
		library = dlsym(handle, TLS_SYMBOL);
	if (library == NULL) {
		why = dlerror();
		return error_fail(err, -ELIBACC,
		    "'tls': TLS cannot be loaded: %.300s",
		    why != NULL ? why : path);
	}
	/* OpenSSL cannot be unloaded again. */
	if (strcmp(library->version, VERSION) != 0)
		return error_fail(err, -ELIBACC,
		    "'tls': %.300s is of version %s, and this program of"
		    " " VERSION ": restart it",
		    path, library->version);
	tls_library = library;
	return 0;
}

/* A reload checks its sections in a thread. */
static int
load(struct error *err)
{
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	int r;

	pthread_mutex_lock(&mutex);
	r = tls_library != NULL ? 0 : load_object(err);
	pthread_mutex_unlock(&mutex);
	return r;
}

/* --- checks --------------------------------------------------------------- */

/* The first key that is given and needs tls = yes. */
static const char *
first_given(const struct tls_conf *conf, bool server)
{
	return conf->cert != NULL      ? "tls_cert"
	    : conf->key != NULL	       ? "tls_key"
	    : conf->ca != NULL	       ? "tls_ca"
	    : conf->name != NULL       ? "tls_name"
	    : !server && !conf->verify ? "tls_verify"
				       : "handshake_timeout";
}

int
tls_check(const struct tls_conf *conf, bool server, struct error *err)
{
	if (!conf->on && conf->given)
		return error_fail(err, -EINVAL, "'%s' needs tls = yes",
		    first_given(conf, server));
	if (!conf->on)
		return 0;
	if (server && conf->cert == NULL)
		return error_fail(err, -EINVAL,
		    "'tls' needs 'tls_cert' and 'tls_key', such as"
		    " tls_cert = /etc/ttybridge/server.crt");
	if (conf->cert != NULL && conf->key == NULL)
		return error_fail(err, -EINVAL,
		    "'tls_cert' needs 'tls_key', the file of its private key");
	if (conf->key != NULL && conf->cert == NULL)
		return error_fail(err, -EINVAL,
		    "'tls_key' needs 'tls_cert', the file of its certificate");
	if (!server && !conf->verify &&
	    (conf->ca != NULL || conf->name != NULL))
		return error_fail(err, -EINVAL,
		    "'%s' is for verifying the server, which tls_verify = no"
		    " turns off",
		    conf->ca != NULL ? "tls_ca" : "tls_name");
	return 0;
}

int
tls_load(const struct tls_conf *conf, bool server, struct tls_context **context,
    struct error *err)
{
	struct tls_context *new;
	int r;

	if (!conf->on)
		return 0;
	if ((r = load(err)) < 0 ||
	    (r = tls_library->context_new(conf, server, &new, err)) < 0)
		return r;
	tls_context_free(*context);
	*context = new;
	return 0;
}

bool
tls_expires_soon(const struct tls_context *context)
{
	return context != NULL && context->expires != 0 &&
	    context->expires - time(NULL) < TLS_EXPIRES_SOON;
}

const char *
tls_expiry(const struct tls_context *context, char *buf, size_t size)
{
	const time_t day_s = 24 * 3600;
	/* Days of the calendar (UTC), so that all messages of a day agree. */
	long days = (long)(context->expires / day_s - time(NULL) / day_s);
	struct tm tm;
	char day[16];

	gmtime_r(&context->expires, &tm);
	strftime(day, sizeof(day), "%Y-%m-%d", &tm);
	if (context->expires <= time(NULL))
		snprintf(buf, size, "the certificate expired on %s", day);
	else if (days == 0)
		snprintf(
		    buf, size, "the certificate expires on %s (today)", day);
	else
		snprintf(buf, size,
		    "the certificate expires on %s (in %ld day%s)", day, days,
		    days == 1 ? "" : "s");
	return buf;
}

void
tls_warn(const struct tls_conf *conf, const struct tls_context *context,
    struct error *err)
{
	char text[96];

	if (context == NULL)
		return;
	if (!context->server && !conf->verify)
		error_append(err,
		    "%stls_verify = no: the server is not verified; tls_ca"
		    " names the certificate to trust",
		    error_is_set(err) ? "; " : "");
	if (context->server && context->is_ca)
		error_append(err,
		    "%sthe certificate is that of a CA (CA:TRUE), whose key can"
		    " sign others that are trusted; a server's has CA:FALSE:"
		    " %s",
		    error_is_set(err) ? "; " : "", conf->cert);
	if (context->too_early)
		error_append(err, "%sthe certificate is not valid yet: %s",
		    error_is_set(err) ? "; " : "", conf->cert);
	else if (tls_expires_soon(context))
		error_append(err, "%s%s: %s", error_is_set(err) ? "; " : "",
		    tls_expiry(context, text, sizeof(text)), conf->cert);
}

bool
tls_session_is_in(const struct tls_session *session,
    bool (*has)(const char *list, const char *name, size_t len),
    const char *list)
{
	const char *name;

	for (size_t i = 0; (name = tls_session_name(session, i)) != NULL; i++)
		if (has(list, name, strlen(name)))
			return true;
	return false;
}

/* Of a failure within TLS there is no errno. */
const char *
tls_event_reason(int error)
{
	return error == 0 ? "closed without close_notify, or an error of TLS"
			  : strerror(error);
}

void
tls_context_free(struct tls_context *context)
{
	if (context != NULL)
		tls_library->context_free(context);
}

void
tls_session_free(struct tls_session *session)
{
	if (session != NULL)
		tls_library->session_free(session);
}
