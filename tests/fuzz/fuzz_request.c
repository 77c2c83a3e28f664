/*
 * Heads of HTTP requests, as they come in piece by piece; and what is looked up in them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "http_access.h"
#include "request.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
expect(bool right)
{
	if (!right)
		abort();
}

/* The strings of a request are parts of its text. */
static void
inside(const struct request *r, const char *s)
{
	if (s == NULL)
		return;
	expect(s >= r->text && s < r->text + sizeof(r->text));
	expect(strlen(s) < sizeof(r->text));
	for (; *s != '\0'; s++)
		expect((uint8_t)*s >= ' ' || *s == '\t');
}

static void
look_up(const struct request *r)
{
	struct error err = { "" };
	char value[64];
	int given;

	inside(r, r->path);
	inside(r, r->query);
	inside(r, r->authority);
	inside(r, r->host);
	inside(r, r->origin);
	inside(r, r->authorization);
	inside(r, r->content_type);
	inside(r, r->fetch_site);
	expect(r->path != NULL && *r->path == '/');
	expect(r->host != NULL || r->http10);
	expect(r->authority == NULL ||
	    (r->host == r->authority && *r->host != '\0' &&
		strpbrk(r->host, "/?") == NULL));
	expect(r->body <= REQUEST_BODY_MAX);
	/* Every field of the query is found, or refused with a message. */
	given = request_query(r, "watch", value, sizeof(value), &err);
	expect(given >= 0 || err.text[0] != '\0');
	if (given == 1)
		expect(strlen(value) < sizeof(value));
	if (r->query != NULL && strncmp(r->query, "watch=", 6) == 0)
		expect(given != 0);
	given = request_query_only(r, "stream", "watch", &err);
	expect(given == 0 || (given == -EINVAL && err.text[0] != '\0'));
	access_refused(r, "box.example other", "a-token-of-some-length");
	if (access_refused(r, NULL, NULL) == NULL && r->host != NULL)
		expect(access_host(r->host, NULL));
	access_change_refused(r, true);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct request *whole = malloc(sizeof(*whole));
	struct request *part = malloc(sizeof(*part));
	char *copy = malloc(size + 1);
	int r;

	expect(whole != NULL && part != NULL && copy != NULL);
	/* Exactly as long as it is, so that nothing behind it is read. */
	copy = realloc(copy, size > 0 ? size : 1);
	memcpy(copy, data, size);
	r = request_parse(whole, copy, size);
	expect(r <= REQUEST_HEAD_MAX && r <= (int)size);
	expect(r >= 0 || whole->why != NULL);
	if (r > 0)
		look_up(whole);
	/* No shorter piece is complete, and what follows does not matter. */
	if (r > 0) {
		expect(request_parse(part, copy, (size_t)r) == r);
		for (int n = 0; n < r; n += 1 + r / 64)
			expect(request_parse(part, copy, (size_t)n) == 0);
	}
	free(copy);
	free(whole);
	free(part);
	return 0;
}
