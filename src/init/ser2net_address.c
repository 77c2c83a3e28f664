/*
 * ser2net_address: addresses of gensios, "[ipv4|ipv6|ipv6n4,][HOST,]PORT".
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "gensio.h"
#include "ser2net.h"

#define BLANKS " \f\t\n\r\v"

/* The number of a port or of a service; -1 if there is none. */
static int
port_number(const char *word)
{
	struct servent *service;
	uint64_t n;

	if (parse_number(word, 0, 65535, &n) == 0)
		return (int)n;
	service = getservbyname(word, "tcp");
	return service != NULL ? ntohs((uint16_t)service->s_port) : -1;
}

/* How a host is written before a port; NULL if that is not possible. */
static const char *
host_text(
    const char *host, const char *family, bool listen, char *buf, size_t size)
{
	struct in6_addr in6;
	struct in_addr in;

	if (host == NULL)
		host = strcmp(family, "ipv4") == 0 ? "0.0.0.0"
		    : strcmp(family, "ipv6") == 0  ? "::"
						   : "*";
	if (inet_pton(AF_INET6, host, &in6) == 1) {
		snprintf(buf, size, "[%s]", host);
		return buf;
	}
	if (listen && inet_pton(AF_INET, host, &in) != 1 &&
	    strcmp(host, "*") != 0 && strcmp(host, "localhost") != 0)
		return NULL;
	return host;
}

static bool
is_family(const char *word)
{
	return strcmp(word, "ipv4") == 0 || strcmp(word, "ipv6") == 0 ||
	    strcmp(word, "ipv6n4") == 0;
}

/* Converts the words of one address; what is left of them is further ones. */
static bool
read_words(struct draft *d, const struct setting *of, char **words, bool listen,
    char *ret, size_t size)
{
	const char *word = gensio_word(words, "," BLANKS), *family = "",
		   *host = NULL, *text;
	char *rest = *words, buf[ADDRESS_TEXT_MAX];
	int port;

	if (word != NULL && is_family(word)) {
		family = word;
		word = gensio_word(words, "," BLANKS);
		rest = *words;
	}
	if (word != NULL && *rest != '\0' &&
	    word[strspn(word, "0123456789")] != '\0') {
		host = word;
		word = gensio_word(words, "," BLANKS);
	}
	if (word == NULL || (port = port_number(word)) < 0) {
		draft_lost(d, of->line, of->value, "it has no valid port");
		return false;
	}
	if ((text = host_text(host, family, listen, buf, sizeof(buf))) ==
	    NULL) {
		draft_lost(d, of->line, of->value,
		    "'listen' takes an IP address, and '%.100s' is a name",
		    host);
		return false;
	}
	if (snprintf(ret, size, "%s:%d", text, port) < (int)size)
		return true;
	draft_lost(d, of->line, of->value, "its name is too long");
	return false;
}

bool
ser2net_address(struct draft *d, const struct setting *of, const char *text,
    bool listen, char *ret, size_t size)
{
	char *copy = strdup(text), *words = copy;
	bool ok;

	if (copy == NULL)
		return false;
	ok = read_words(d, of, &words, listen, ret, size);
	if (ok && *words != '\0')
		draft_lost(d, of->line, words,
		    "a section has one address, and further ones need"
		    " sections of their own");
	free(copy);
	return ok;
}

void
ser2net_unknown(struct draft *d, const char *type,
    const struct settings *options, const char *const *known)
{
	for (unsigned i = 0; i < options->n; i++) {
		const struct setting *o = &options->at[i];
		char what[128];

		if (name_in(o->name, known))
			continue;
		snprintf(what, sizeof(what), "%.60s%s%.60s", o->name,
		    *o->value == '\0' ? "" : "=", o->value);
		draft_lost(d, o->line, what,
		    "this option of '%s' has no counterpart", type);
	}
}
