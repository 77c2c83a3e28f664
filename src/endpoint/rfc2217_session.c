/*
 * rfc2217_session: the line that a client of an RFC 2217 server uses, and answers.
 */
#include <string.h>

#include "permission.h"
#include "rfc2217.h"
#include "rfc2217_session.h"

/* --- the line -------------------------------------------------------------- */

struct endpoint *
rfc2217_line(const struct rfc2217 *server, const char *name)
{
	return server->ep->owner->line(server->ep, name);
}

void
client_release_line(struct client *c)
{
	struct endpoint *line;

	if (c->line[0] == '\0')
		return;
	line = rfc2217_line(c->server, c->line);
	c->line[0] = '\0';
	if (line != NULL)
		line_use_end(line, c->use);
}

struct endpoint *
client_line(struct client *c)
{
	struct endpoint *line = rfc2217_line(c->server, c->server->conf->line);

	if (line != NULL && strcmp(c->line, line->conf->name) == 0 &&
	    line_use_is(line, c->use))
		return line;
	client_release_line(c);
	if (line == NULL || (c->use = line_use_begin(line)) == 0)
		return NULL;
	snprintf(c->line, sizeof(c->line), "%s", line->conf->name);
	return line;
}

void
client_failed(struct client *c, const char *what, const char *why)
{
	log_limited(&c->server->limit, LOG_WARNING, ABOUT_ENDPOINT,
	    client_name(c), "cannot set %s: %s", what, why);
}

bool
client_may(struct client *c, unsigned what)
{
	return (c->server->conf->deny & what) == 0 &&
	    link_may_write(c->telnet.filter.link);
}

/* --- answers --------------------------------------------------------------- */

void
client_answer(
    struct client *c, uint8_t command, const uint8_t *value, size_t len)
{
	uint8_t data[1 + SIGNATURE_MAX];

	data[0] = command + RFC2217_SERVER;
	if (len > 0)
		memcpy(data + 1, value, len);
	telnet_filter_sub(&c->telnet, TELNET_COM_PORT, data, 1 + len);
}

void
client_answer_byte(struct client *c, uint8_t command, uint8_t value)
{
	client_answer(c, command, &value, 1);
}
