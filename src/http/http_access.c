/*
 * http_access: who may ask for what.
 */
#include <arpa/inet.h>

#include <string.h>
#include <strings.h>

#include "http_access.h"

#define HOST_MAX 256

/* Copies the name without its port; false: it is malformed. */
static bool
take_name(const char *host, char *name, size_t size)
{
	const char *end = *host == '[' ? strchr(host, ']') : NULL;
	size_t len;

	if (*host == '[' && end == NULL)
		return false;
	end = end != NULL ? end + 1 : host + strcspn(host, ":");
	len = (size_t)(end - host);
	if (len == 0 || len >= size)
		return false;
	if (*end == ':' && strspn(end + 1, "0123456789") < strlen(end + 1))
		return false;
	if (*end != ':' && *end != '\0')
		return false;
	memcpy(name, host, len);
	name[len] = '\0';
	return true;
}

static bool
is_address(char *name)
{
	size_t len = strlen(name);
	struct in6_addr in6;
	struct in_addr in;

	if (*name != '[')
		return inet_pton(AF_INET, name, &in) == 1;
	name[len - 1] = '\0';
	return inet_pton(AF_INET6, name + 1, &in6) == 1;
}

bool
access_host(const char *host, const char *hosts)
{
	char name[HOST_MAX];
	const char *word;
	size_t len;

	if (!take_name(host, name, sizeof(name)))
		return false;
	if (strcasecmp(name, "localhost") == 0)
		return true;
	while (hosts != NULL && (word = list_word(&hosts, &len)) != NULL)
		if (strlen(name) == len && strncasecmp(name, word, len) == 0)
			return true;
	return is_address(name);
}

/* The origin of the server's own page is its scheme and Host. */
static bool
same_origin(const struct request *r)
{
	const char *rest = r->origin;

	if (strncmp(rest, "http://", 7) == 0)
		rest += 7;
	else if (strncmp(rest, "https://", 8) == 0)
		rest += 8;
	else
		return false;
	return r->host != NULL && strcasecmp(rest, r->host) == 0;
}

/* In a time that does not depend on how much of it is right. */
static bool
same_secret(const char *given, const char *token)
{
	size_t len = strlen(given), n = strlen(token);
	unsigned char differs = len != n;

	for (size_t i = 0; i < n; i++)
		differs |=
		    (unsigned char)(token[i] ^ given[len > 0 ? i % len : 0]);
	return differs == 0;
}

/* What is wrong with the token of the request, or NULL. */
static const char *
token_fault(const struct request *r, const char *token)
{
	const char *p = r->authorization;

	if (p == NULL || strncasecmp(p, "Bearer ", 7) != 0)
		return "the field 'Authorization: Bearer TOKEN' is missing,"
		       " with the token of token_file";
	p += 7;
	return same_secret(p + strspn(p, " "), token)
	    ? NULL
	    : "the token is not that of token_file";
}

const char *
access_refused(const struct request *r, const char *hosts, const char *token)
{
	if (r->host != NULL && !access_host(r->host, hosts))
		return "the host in the address is not an IP address, localhost"
		       " or among those that 'host' names";
	if (r->origin != NULL && !same_origin(r))
		return "the request comes from a page of another origin";
	if (r->fetch_site != NULL &&
	    strcmp(r->fetch_site, "same-origin") != 0 &&
	    strcmp(r->fetch_site, "none") != 0)
		return "the request comes from a page of another origin";
	return token != NULL ? token_fault(r, token) : NULL;
}

const char *
access_change_refused(const struct request *r, bool full)
{
	const char *type = r->content_type;
	size_t len = type != NULL ? strcspn(type, "; \t") : 0;

	if (!full)
		return "this server has access = read; changes need access ="
		       " full";
	if (len != 16 || strncasecmp(type, "application/json", len) != 0)
		return "the field 'Content-Type: application/json' is missing";
	return NULL;
}
