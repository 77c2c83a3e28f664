/*
 * request: the head of an HTTP request: its first line, and those header fields that are
 * used.  Pure: no sockets.
 *
 * Lines end with CR LF or LF.  What is not valid is refused and never repaired.
 */
#ifndef REQUEST_H
#define REQUEST_H

#include "error.h"

/* The maximum of a head, and of a body. */
#define REQUEST_HEAD_MAX 8192
#define REQUEST_BODY_MAX 32768

enum method { METHOD_GET, METHOD_HEAD, METHOD_POST };

/* The strings are parts of text; NULL: there is no such field. */
struct request {
	enum method method;
	bool http10;
	bool keep_alive;
	char *path;	 /* begins with '/', without the query */
	char *query;	 /* what follows '?', or NULL */
	char *authority; /* of the form http://HOST/PATH, or NULL */
	char *host;	 /* or authority, which replaces it */
	char *origin;
	char *authorization;
	char *content_type;
	char *fetch_site; /* Sec-Fetch-Site */
	size_t body;	  /* length, at most REQUEST_BODY_MAX */
	const char *why;  /* the reason for a negative result */
	char text[REQUEST_HEAD_MAX + 1];
};

/*
 * Parses the head at the beginning of data.  Returns its length; 0: it is not complete
 * yet; or -STATUS, the status code of the reply (400, 405, 411, 413, 417, 431, 501, 505),
 * with the reason in why.
 */
int request_parse(struct request *r, const char *data, size_t len);
/*
 * Copies the value of a field of the query, decoded; "" if there is none behind its name.
 * 1: it is given; 0: it is not; -EINVAL: it is malformed or longer than the buffer, with a
 * message in err.
 */
int request_query(const struct request *r, const char *name, char *buf,
    size_t size, struct error *err);
/*
 * Refuses a query of a command with another field than name, which may be NULL, or with
 * two of them; -EINVAL with a message.
 */
int request_query_only(const struct request *r, const char *command,
    const char *name, struct error *err);
/* Its path is that of a command; so replies that refuse it are JSON. */
bool request_is_api(const struct request *r);

#endif
