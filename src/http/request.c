/*
 * request: the head of an HTTP request.
 *
 * It is parsed once it is complete, in a copy, whose lines and words become strings.
 */
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "request.h"

static int
refuse(struct request *r, int status, const char *why)
{
	r->why = why;
	return -status;
}

/* The length of the head with the empty line at its end; 0: it is not complete. */
static size_t
head_length(const char *data, size_t len)
{
	const char *p = data, *end = data + len;

	while ((p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
		p++;
		if (p < end && *p == '\n')
			return (size_t)(p + 1 - data);
		if (p + 1 < end && p[0] == '\r' && p[1] == '\n')
			return (size_t)(p + 2 - data);
		if (p == end)
			break;
	}
	return 0;
}

/* Cuts off the next line; NULL at the empty line. */
static char *
take_line(char **text)
{
	char *line = *text, *end = strchr(line, '\n');

	if (end == NULL)
		return NULL;
	*text = end + 1;
	if (end > line && end[-1] == '\r')
		end--;
	*end = '\0';
	return end > line ? line : NULL;
}

/* Control characters, which are in no valid head, could end a log line or a string. */
static bool
is_clean(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		uint8_t c = (uint8_t)text[i];
		bool end = c == '\n' ||
		    (c == '\r' && i + 1 < len && text[i + 1] == '\n');

		if (!end && c != '\t' && (c < ' ' || c == 0x7f))
			return false;
	}
	return true;
}

static int
parse_method(struct request *r, const char *word)
{
	static const char *const known[] = {
		[METHOD_GET] = "GET",
		[METHOD_HEAD] = "HEAD",
		[METHOD_POST] = "POST",
	};

	for (size_t i = 0; i < NELEM(known); i++)
		if (strcmp(word, known[i]) == 0) {
			r->method = (enum method)i;
			return 0;
		}
	if (*word == '\0' ||
	    strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_") < strlen(word))
		return refuse(r, 400, "the first line is no HTTP request");
	return refuse(r, 405, "the methods here are GET, HEAD and POST");
}

/*
 * Takes the host off http://HOST/PATH, which is moved over the slashes before it, so that
 * there is room for its end, and for the path if there is none.
 */
static int
take_authority(struct request *r, char **target)
{
	char *host = strstr(*target, "://") + 3, *end;
	size_t len = strcspn(host, "/?");

	if (len == 0)
		return refuse(r, 400, "the target has no host");
	end = host + len;
	r->authority = memmove(host - 2, host, len);
	r->authority[len] = '\0';
	if (*end != '/')
		*--end = '/';
	*target = end;
	return 0;
}

static int
parse_target(struct request *r, char *target)
{
	char *query;
	int status;

	for (const char *p = target; *p != '\0'; p++)
		if ((uint8_t)*p <= ' ' || (uint8_t)*p >= 0x7f)
			return refuse(r, 400, "the target is not ASCII");
	if ((strncasecmp(target, "http://", 7) == 0 ||
		strncasecmp(target, "https://", 8) == 0) &&
	    (status = take_authority(r, &target)) < 0)
		return status;
	if (*target != '/')
		return refuse(r, 400,
		    "the target begins neither with '/' nor with http://");
	r->path = target;
	if ((query = strchr(target, '?')) != NULL)
		*query++ = '\0';
	r->query = query;
	return 0;
}

/* METHOD TARGET HTTP/1.x */
static int
parse_first(struct request *r, char *line)
{
	char *target = line != NULL ? strchr(line, ' ') : NULL, *version;
	int status;

	if (target == NULL)
		return refuse(r, 400, "the first line is no HTTP request");
	*target++ = '\0';
	version = strchr(target, ' ');
	if (version == NULL || version == target)
		return refuse(r, 400, "the first line is no HTTP request");
	*version++ = '\0';
	if (strcmp(version, "HTTP/1.1") != 0 &&
	    strcmp(version, "HTTP/1.0") != 0)
		return strncmp(version, "HTTP/", 5) == 0
		    ? refuse(r, 505, "the version is neither HTTP/1.1 nor 1.0")
		    : refuse(r, 400, "the first line is no HTTP request");
	r->http10 = version[7] == '0';
	r->keep_alive = !r->http10;
	if ((status = parse_target(r, target)) < 0)
		return status;
	return parse_method(r, line);
}

static int
set_once(struct request *r, char **field, char *value)
{
	if (*field != NULL)
		return refuse(r, 400, "a header field occurs twice");
	*field = value;
	return 0;
}

static int
set_length(struct request *r, const char *value, bool *given)
{
	size_t n = 0;

	if (*given)
		return refuse(r, 400, "a header field occurs twice");
	*given = true;
	if (*value == '\0' || strspn(value, "0123456789") < strlen(value))
		return refuse(r, 400, "Content-Length is no number");
	for (; *value != '\0' && n <= REQUEST_BODY_MAX; value++)
		n = n * 10 + (size_t)(*value - '0');
	if (n > REQUEST_BODY_MAX)
		return refuse(r, 413, "the body is longer than 32768 bytes");
	r->body = n;
	return 0;
}

/* Whether the list of words separated by commas contains the word. */
static bool
has_word(const char *list, const char *word)
{
	size_t len = strlen(word), n;

	for (; *list != '\0'; list += n) {
		list += strspn(list, " \t,");
		n = strcspn(list, " \t,");
		if (n == len && strncasecmp(list, word, len) == 0)
			return true;
	}
	return false;
}

/* The state that is only needed while fields are parsed. */
struct fields {
	bool length; /* Content-Length was given */
};

static int
parse_known(struct request *r, struct fields *f, const char *name, char *value)
{
	const struct {
		const char *name;
		char **field;
	} strings[] = {
		{ "Host", &r->host },
		{ "Origin", &r->origin },
		{ "Authorization", &r->authorization },
		{ "Content-Type", &r->content_type },
		{ "Sec-Fetch-Site", &r->fetch_site },
	};

	for (size_t i = 0; i < NELEM(strings); i++)
		if (strcasecmp(name, strings[i].name) == 0)
			return set_once(r, strings[i].field, value);
	if (strcasecmp(name, "Content-Length") == 0)
		return set_length(r, value, &f->length);
	if (strcasecmp(name, "Transfer-Encoding") == 0)
		return refuse(r, 501, "a body needs a Content-Length here");
	if (strcasecmp(name, "Expect") == 0)
		return refuse(r, 417, "Expect is not supported");
	if (strcasecmp(name, "Connection") == 0) {
		if (has_word(value, "close"))
			r->keep_alive = false;
		else if (has_word(value, "keep-alive"))
			r->keep_alive = true;
	}
	return 0;
}

/* NAME: VALUE */
static int
parse_field(struct request *r, struct fields *f, char *line)
{
	static const char separators[] = "\"(),/:;<=>?@[\\]{} \t";
	char *value = line + strcspn(line, separators), *end;

	if (*value != ':' || value == line)
		return refuse(r, 400, "a header field is malformed");
	*value++ = '\0';
	value += strspn(value, " \t");
	for (end = value + strlen(value);
	     end > value && (end[-1] == ' ' || end[-1] == '\t'); end--)
		end[-1] = '\0';
	return parse_known(r, f, line, value);
}

int
request_parse(struct request *r, const char *data, size_t len)
{
	size_t head = head_length(data, MIN(len, (size_t)REQUEST_HEAD_MAX));
	struct fields f = { false };
	char *rest = r->text, *line;
	int status;

	memset(r, 0, offsetof(struct request, text));
	if (head == 0)
		return len < REQUEST_HEAD_MAX
		    ? 0
		    : refuse(r, 431, "the head is longer than 8192 bytes");
	if (!is_clean(data, head))
		return refuse(r, 400, "the head has a control character in it");
	memcpy(r->text, data, head);
	r->text[head] = '\0';
	if ((status = parse_first(r, take_line(&rest))) < 0)
		return status;
	while ((line = take_line(&rest)) != NULL)
		if ((status = parse_field(r, &f, line)) < 0)
			return status;
	if (r->host == NULL && !r->http10)
		return refuse(r, 400, "the field Host is missing");
	if (r->authority != NULL)
		r->host = r->authority;
	if (r->method == METHOD_POST && !f.length)
		return refuse(r, 411, "a POST needs a Content-Length");
	return (int)head;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes %XX and '+' of the value of a field; 1, or -EINVAL. */
static int
decode(const char *name, const char *in, size_t len, char *buf, size_t size,
    struct error *err)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		int c = in[i];

		if (c == '+')
			c = ' ';
		if (c == '%') {
			if (i + 2 >= len || hex_digit(in[i + 1]) < 0 ||
			    hex_digit(in[i + 2]) < 0)
				return error_fail(err, -EINVAL,
				    "'%s' has a '%%' without two hexadecimal"
				    " digits after it; '%%' itself is %%25",
				    name);
			c = hex_digit(in[i + 1]) * 16 + hex_digit(in[i + 2]);
			i += 2;
		}
		if ((c >= 0 && c < ' ') || c == 0x7f)
			return error_fail(err, -EINVAL,
			    "'%s' has a control character in it", name);
		if (n + 1 >= size)
			return error_fail(err, -EINVAL,
			    "'%s' is longer than %zu bytes", name, size - 1);
		buf[n++] = (char)c;
	}
	buf[n] = '\0';
	return 1;
}

int
request_query(const struct request *r, const char *name, char *buf, size_t size,
    struct error *err)
{
	const char *p = r->query;
	size_t len = strlen(name), n, skip;

	for (; p != NULL && *p != '\0'; p += n + (p[n] == '&')) {
		n = strcspn(p, "&");
		if (strcspn(p, "&=") != len || strncmp(p, name, len) != 0)
			continue;
		skip = MIN(n, len + 1);
		return decode(name, p + skip, n - skip, buf, size, err);
	}
	return 0;
}

int
request_query_only(const struct request *r, const char *command,
    const char *name, struct error *err)
{
	const char *p = r->query;
	bool given = false;
	size_t len, n;

	for (; p != NULL && *p != '\0'; p += n + (p[n] == '&')) {
		n = strcspn(p, "&");
		len = strcspn(p, "&=");
		if (n == 0)
			continue;
		if (name == NULL || strlen(name) != len ||
		    strncmp(p, name, len) != 0)
			return error_fail(err, -EINVAL,
			    "%s has no argument '%.*s'%s%s%s", command,
			    (int)MIN(len, (size_t)64), p,
			    name != NULL ? "; it has '" : "",
			    name != NULL ? name : "", name != NULL ? "'" : "");
		if (given)
			return error_fail(
			    err, -EINVAL, "'%s' is given twice", name);
		given = true;
	}
	return 0;
}

bool
request_is_api(const struct request *r)
{
	return r->path != NULL && strncmp(r->path, "/api/", 5) == 0;
}
