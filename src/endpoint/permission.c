/*
 * permission: which clients of a server may read and write.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "permission.h"
#include "tls_link.h"

const char *const role_words[] = {
	[ROLE_ALL] = "all",
	[ROLE_READ] = "read",
	[ROLE_WRITE] = "write",
	NULL,
};

const char *const writer_words[] = {
	[WRITER_ANY] = "any",
	[WRITER_FIRST] = "first",
	[WRITER_LAST] = "last",
	[WRITER_LEASE] = "lease",
	NULL,
};

const char *const right_words[] = {
	[RIGHT_NO] = "no",
	[RIGHT_FREE] = "free",
	[RIGHT_YES] = "yes",
	NULL,
};

/* --- the keys ------------------------------------------------------------- */

static bool
is_word(const char *word, size_t len, const char *is)
{
	return strlen(is) == len && memcmp(word, is, len) == 0;
}

/* Splits "NAME:ROLE" at its last colon.  -EINVAL. */
static int
parse_role(const char *word, size_t len, size_t *ret_name, enum role *ret)
{
	const char *colon = memrchr(word, ':', len);
	size_t name = colon != NULL ? (size_t)(colon - word) : 0;

	for (int i = 0; name > 0 && role_words[i] != NULL; i++) {
		if (!is_word(colon + 1, len - name - 1, role_words[i]))
			continue;
		*ret_name = name;
		*ret = (enum role)i;
		return 0;
	}
	return -EINVAL;
}

/* The first NAME:ROLE of the list with that name, whose role is *ret; NULL: none. */
static const char *
find_role(const char *list, const char *name, size_t len, enum role *ret)
{
	const char *word;
	size_t size, n;

	while (list != NULL && (word = list_word(&list, &size)) != NULL)
		if (parse_role(word, size, &n, ret) == 0 && n == len &&
		    memcmp(word, name, len) == 0)
			return word;
	return NULL;
}

static int
check_roles(const char *list, struct error *err)
{
	const char *next = list, *word;
	size_t len, n;
	enum role role;

	while ((word = list_word(&next, &len)) != NULL) {
		if (parse_role(word, len, &n, &role) < 0)
			return error_fail(err, -EINVAL,
			    "'roles': '%.*s' is not NAME:ROLE with the role"
			    " all, read or write, such as alice:all",
			    (int)MIN(len, (size_t)64), word);
		if (find_role(list, word, n, &role) != word)
			return error_fail(err, -EINVAL,
			    "'roles' has %.*s twice", (int)MIN(n, (size_t)64),
			    word);
	}
	return 0;
}

int
permission_check(struct permission_conf *conf, struct error *err)
{
	if (!conf->role_given)
		conf->role = conf->roles != NULL ? ROLE_READ : ROLE_ALL;
	return conf->roles != NULL ? check_roles(conf->roles, err) : 0;
}

void
permission_warn(const struct permission_conf *conf, struct error *err)
{
	if (conf->lease_given && conf->writer != WRITER_LEASE)
		error_set(
		    err, "'lease_time' has no effect without writer = lease");
	else if (conf->writer != WRITER_ANY && conf->role == ROLE_READ &&
	    conf->roles == NULL)
		error_set(err,
		    "'writer' has no effect, because no client may write"
		    " with role = read");
	else if (conf->takeover && conf->writer == WRITER_FIRST)
		error_set(err,
		    "with 'takeover', a client that has the right to write"
		    " (writer = first) and sends nothing is replaced by a new"
		    " one");
}

/* The keys of the endpoint's section, which a reload exchanges. */
static const struct permission_conf *
conf_of(const struct endpoint *ep)
{
	return (const void *)((const char *)ep->conf->type_conf +
	    ep->conf->ops->permission);
}

/* --- the role of a client -------------------------------------------------- */

static enum role
role_of(const struct link *link, const struct permission_conf *conf)
{
	const struct tls_session *session = link_tls(link);
	const char *name;
	enum role role;

	for (size_t i = 0;
	     session != NULL && (name = tls_session_name(session, i)) != NULL;
	     i++)
		if (find_role(conf->roles, name, strlen(name), &role) != NULL)
			return role;
	return (enum role)conf->role;
}

static void
set_role(struct link *link)
{
	const struct permission_conf *conf = conf_of(link->endpoint);

	link->role = role_of(link, conf);
	link->receive_only = link->role == ROLE_WRITE;
	link->restricted =
	    link->role == ROLE_READ || conf->writer != WRITER_ANY;
}

const char *
link_certificate(const struct link *link)
{
	const struct tls_session *session = link_tls(link);
	const char *name =
	    session != NULL ? tls_session_name(session, 0) : NULL;

	return name != NULL ? name : "";
}

const char *
link_tls_version(const struct link *link)
{
	const struct tls_session *session = link_tls(link);

	return session != NULL ? session->version : "";
}

/* --- the right to write ---------------------------------------------------- */

static bool
may_have(const struct link *link)
{
	return link->role != ROLE_READ && !link->read_eof;
}

static void
set_writer(struct endpoint *ep, struct link *link)
{
	if (ep->permission->writer == link)
		return;
	ep->permission->writer = link;
	if (link != NULL)
		log_to(LOG_INFO, ABOUT_ENDPOINT, link->name,
		    "has the right to write (writer = %s)",
		    writer_words[conf_of(ep)->writer]);
}

/* Gives the right to the newest of the clients that can have it. */
static void
give_newest(struct endpoint *ep)
{
	struct link *link, *newest = NULL;

	/* Connections that were handed over are in any order. */
	TAILQ_FOREACH(link, &ep->links, entry)
		if (link->up && may_have(link) &&
		    (newest == NULL || link->number > newest->number))
			newest = link;
	set_writer(ep, newest);
}

static bool
is_expired(const struct endpoint *ep, uint64_t now)
{
	const struct permission_conf *conf = conf_of(ep);

	return conf->writer == WRITER_LEASE &&
	    now >= ep->permission->used_ns + conf->lease_time;
}

enum right
link_right(const struct link *link, uint64_t now)
{
	const struct endpoint *ep = link->endpoint;
	const struct permission *p = ep->permission;

	if (!link->restricted)
		return RIGHT_YES;
	if (p == NULL || link->role == ROLE_READ)
		return RIGHT_NO;
	if (p->writer == NULL || is_expired(ep, now))
		return conf_of(ep)->writer == WRITER_LAST ? RIGHT_NO
							  : RIGHT_FREE;
	return p->writer == link ? RIGHT_YES : RIGHT_NO;
}

uint64_t
link_lease(const struct link *link, uint64_t now)
{
	const struct endpoint *ep = link->endpoint;
	const struct permission *p = ep->permission;

	if (p == NULL || p->writer != link ||
	    conf_of(ep)->writer != WRITER_LEASE || is_expired(ep, now))
		return 0;
	return p->used_ns + conf_of(ep)->lease_time - now;
}

bool
link_may_write(struct link *link)
{
	uint64_t now = task_now();

	if (!link->restricted)
		return true;
	if (link_right(link, now) == RIGHT_NO)
		return false;
	set_writer(link->endpoint, link);
	link->endpoint->permission->used_ns = now;
	return true;
}

/* --- clients come and go --------------------------------------------------- */

void
permission_join(struct link *link)
{
	struct endpoint *ep = link->endpoint;
	const struct permission *p = ep->permission;

	if (p == NULL)
		return;
	set_role(link);
	if (conf_of(ep)->writer == WRITER_LAST && may_have(link) &&
	    (p->writer == NULL || link->number > p->writer->number))
		set_writer(ep, link);
}

void
permission_leave(struct link *link)
{
	struct endpoint *ep = link->endpoint;

	if (ep->permission == NULL || ep->permission->writer != link)
		return;
	if (conf_of(ep)->writer == WRITER_LAST)
		give_newest(ep);
	else
		set_writer(ep, NULL);
}

void
permission_restore(struct link *link, uint64_t used_ns)
{
	struct endpoint *ep = link->endpoint;
	int writer;

	if (ep->permission == NULL || !may_have(link))
		return;
	writer = conf_of(ep)->writer;
	if (writer != WRITER_FIRST && writer != WRITER_LEASE)
		return;
	set_writer(ep, link);
	ep->permission->used_ns = used_ns;
}

void
permission_change(struct endpoint *ep)
{
	const struct link *had = ep->permission->writer;
	int writer = conf_of(ep)->writer;
	struct link *link;

	TAILQ_FOREACH(link, &ep->links, entry)
		set_role(link);
	if (writer == WRITER_LAST)
		give_newest(ep);
	else if (writer == WRITER_ANY || (had != NULL && !may_have(had)))
		set_writer(ep, NULL);
}

struct link *
permission_replaced(const struct endpoint *ep)
{
	struct link *link, *found = NULL;

	TAILQ_FOREACH(link, &ep->links, entry)
		if (!link->deferred &&
		    (found == NULL || link->read_eof < found->read_eof ||
			(link->read_eof == found->read_eof &&
			    link->heard_ns < found->heard_ns)))
			found = link;
	return found;
}
