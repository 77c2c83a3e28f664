/*
 * api: /api/COMMAND.
 *
 * A command is read by GET, with its argument in the query, or changes something and is
 * given by POST, with its arguments as members of a JSON object.  They become the line
 * that the control port would execute.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <jansson.h>

#include "api.h"
#include "command.h"
#include "http_reply.h"

#define ARGUMENTS_MAX 3

struct argument {
	const char *name;
	const char *otherwise; /* if it is not given; NULL: it has to be */
	bool text;	       /* may contain blanks */
};

struct api {
	const char *name;
	enum method method;
	struct argument arguments[ARGUMENTS_MAX];
};

#define NEEDED(word)         \
	{                    \
		.name = word \
	}
#define OPTIONAL(word, value)                    \
	{                                        \
		.name = word, .otherwise = value \
	}
#define TEXT(word)                         \
	{                                  \
		.name = word, .text = true \
	}
#define GET(command, ...)                                             \
	{                                                             \
		.name = command, .method = METHOD_GET, .arguments = { \
			__VA_ARGS__                                   \
		}                                                     \
	}
#define POST(command, ...)                                             \
	{                                                              \
		.name = command, .method = METHOD_POST, .arguments = { \
			__VA_ARGS__                                    \
		}                                                      \
	}

static const struct api table[] = {
	GET("endpoints"),
	GET("routes"),
	GET("peers"),
	GET("ps"),
	GET("where", NEEDED("task")),
	GET("warnings"),
	GET("ended"),
	GET("stalls"),
	GET("list", OPTIONAL("prefix", "")),
	GET("get", NEEDED("path")),
	GET("version"),
	GET("help"),
	POST("send", NEEDED("name"), TEXT("text")),
	POST("ask", NEEDED("name"), TEXT("text"), OPTIONAL("timeout", "2s")),
	POST("gather", OPTIONAL("timeout", "2s"), TEXT("queries")),
	POST("race", OPTIONAL("timeout", "2s"), TEXT("queries")),
	POST("set", NEEDED("path"), TEXT("value")),
	POST("pause", NEEDED("name")),
	POST("resume", NEEDED("name")),
	POST("reopen", NEEDED("name")),
	POST("break", NEEDED("name"), OPTIONAL("time", "")),
	POST("reset", NEEDED("name"), OPTIONAL("sequence", "")),
	POST("cancel", NEEDED("task")),
	POST("reload"),
};

/* --- the command ---------------------------------------------------------- */

struct line {
	char text[CLIENT_LINE_MAX + 1];
	size_t len;
};

static bool
add(struct line *line, const char *text, size_t len)
{
	if (line->len + len > CLIENT_LINE_MAX)
		return false;
	memcpy(line->text + line->len, text, len);
	line->len += len;
	line->text[line->len] = '\0';
	return true;
}

/* Blanks at the ends of a text would be taken off. */
static bool
add_text(struct line *line, const char *text)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i++) {
		bool end = text[i] == ' ' && (i == 0 || i == len - 1);

		if (!add(line, end ? "\\s" : text + i, end ? 2 : 1))
			return false;
	}
	return true;
}

/* Why the argument cannot be a part of a line, or NULL. */
static const char *
argument_fault(const struct argument *a, const char *value)
{
	if (*value == '\0')
		return "is empty";
	for (; *value != '\0'; value++) {
		uint8_t c = (uint8_t)*value;

		if (c < ' ' || c == 0x7f)
			return "has a control character in it; write it with C"
			       " escapes, as \\n";
		if (c == ' ' && !a->text)
			return "has a blank in it";
	}
	return NULL;
}

/* Appends an argument; -EINVAL with a message. */
static int
add_argument(struct line *line, const struct argument *a, const char *value,
    struct error *err)
{
	const char *why;

	if (value == NULL && a->otherwise == NULL)
		return error_fail(err, -EINVAL, "'%s' is missing", a->name);
	if (value == NULL)
		value = a->otherwise;
	if (value == a->otherwise && *value == '\0')
		return 0;
	if ((why = argument_fault(a, value)) != NULL)
		return error_fail(err, -EINVAL, "'%s' %s", a->name, why);
	if (!add(line, " ", 1) ||
	    !(a->text ? add_text(line, value)
		      : add(line, value, strlen(value))))
		return error_fail(err, -EINVAL,
		    "the arguments are longer than %d bytes", CLIENT_LINE_MAX);
	return 0;
}

static bool
is_argument(const struct api *api, const char *name)
{
	for (size_t i = 0; i < ARGUMENTS_MAX; i++)
		if (api->arguments[i].name != NULL &&
		    strcmp(api->arguments[i].name, name) == 0)
			return true;
	return false;
}

/* Checks that all members of the object are arguments, and strings. */
static int
check_members(const struct api *api, json_t *object, struct error *err)
{
	const char *name;
	json_t *value;

	if (!json_is_object(object))
		return error_fail(
		    err, -EINVAL, "the body is not a JSON object");
	json_object_foreach(object, name, value)
	{
		if (!is_argument(api, name))
			return error_fail(err, -EINVAL,
			    "%s has no argument '%.64s'", api->name, name);
		if (!json_is_string(value))
			return error_fail(
			    err, -EINVAL, "'%.64s' is not a string", name);
	}
	return 0;
}

static int
line_of_body(struct line *line, const struct api *api,
    const struct request *request, const char *body, struct error *err)
{
	size_t len = request->body;
	json_t *object;
	int r = 0;

	if (request->query != NULL && *request->query != '\0')
		return error_fail(err, -EINVAL,
		    "the arguments of %s are members of the JSON object in the"
		    " body, and not in the query",
		    api->name);
	if (len == 0 && api->arguments[0].name == NULL)
		return 0;
	object = json_loadb(body, len, JSON_REJECT_DUPLICATES, NULL);
	if (object == NULL)
		return error_fail(err, -EINVAL, "the body is not valid JSON");
	r = check_members(api, object, err);
	for (size_t i = 0; r == 0 && i < ARGUMENTS_MAX; i++)
		if (api->arguments[i].name != NULL)
			r = add_argument(line, &api->arguments[i],
			    json_string_value(json_object_get(
				object, api->arguments[i].name)),
			    err);
	json_decref(object);
	return r;
}

static int
line_of_query(struct line *line, const struct api *api, const struct request *r,
    struct error *err)
{
	const struct argument *a = &api->arguments[0];
	char value[256];
	int given;

	given = request_query_only(r, api->name, a->name, err);
	if (given < 0 || a->name == NULL)
		return given;
	given = request_query(r, a->name, value, sizeof(value), err);
	if (given < 0)
		return given;
	return add_argument(line, a, given ? value : NULL, err);
}

/* --- the reply ------------------------------------------------------------ */

static bool
is_done(const struct client *c)
{
	return c->call == NULL && !c->asking && !c->reloading &&
	    !command_busy(c) && !command_continues(c);
}

/* The reply of the command is one line: its message. */
static void
reply_error(struct http_session *s)
{
	char text[CLIENT_ERROR_MAX + 8];
	struct evbuffer *reply = s->client.reply;
	ev_ssize_t n = evbuffer_copyout(reply, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	evbuffer_drain(reply, evbuffer_get_length(reply));
	http_reply_error(s, 400, text + MIN(strlen(text), sizeof("ERR ") - 1));
}

/*
 * Passes on what the command has replied, without the "OK" at its end; the first bytes
 * show whether it has failed.
 */
static enum step
pass_on(struct http_session *s, bool done)
{
	struct evbuffer *reply = s->client.reply;
	size_t len = evbuffer_get_length(reply);
	char part[4] = "";

	if (!s->checked && (len >= sizeof(part) || done)) {
		evbuffer_copyout(reply, part, sizeof(part));
		if (memcmp(part, "ERR ", sizeof(part)) == 0) {
			if (!done)
				return STEP_MORE;
			reply_error(s);
			return STEP_MORE;
		}
		http_reply_start(s, 200, "application/json", "", -1);
		s->checked = true;
	}
	if (s->checked && len > 3)
		evbuffer_remove_buffer(reply, s->out, len - 3);
	if (!done)
		return STEP_MORE;
	if (evbuffer_remove(reply, part, 3) != 3 ||
	    memcmp(part, "OK\n", 3) != 0)
		return STEP_FAILED;
	return STEP_DONE;
}

static enum step
api_step(struct http_session *s)
{
	struct client *c = &s->client;
	enum step r;

	if (command_busy(c))
		command_step(c);
	r = pass_on(s, is_done(c));
	if (r == STEP_MORE && !is_done(c) && !command_busy(c))
		return STEP_WAIT;
	return r;
}

static const struct reply_ops api_ops = { .step = api_step };

static const struct api *
find_api(const char *name)
{
	for (size_t i = 0; i < NELEM(table); i++)
		if (strcmp(table[i].name, name) == 0)
			return &table[i];
	return NULL;
}

/* Names the commands, for somebody who tries. */
static void
unknown(struct http_session *s, const char *name)
{
	struct error err;

	error_set(&err, "there is no command '%.64s'; the commands are", name);
	for (size_t i = 0; i < NELEM(table); i++)
		error_append(&err, "%s %s%s", i > 0 ? "," : "", table[i].name,
		    table[i].method == METHOD_POST ? " (POST)" : "");
	error_append(&err, " and stream");
	http_reply_error(s, 404, err.text);
}

void
api_reply(struct http_session *s)
{
	const struct request *r = s->request;
	const char *name = r->path + strlen("/api/");
	const struct api *api = find_api(name);
	bool post = r->method == METHOD_POST;
	struct error err = { "" };
	struct line line = { .len = 0 };
	int status;

	if (api == NULL) {
		unknown(s, name);
		return;
	}
	if ((api->method == METHOD_POST) != post) {
		http_reply_error(s, 405,
		    post ? "this is read by GET" : "this is given by POST");
		return;
	}
	add(&line, "json ", 5);
	add(&line, api->name, strlen(api->name));
	status = post ? line_of_body(&line, api, r, s->body, &err)
		      : line_of_query(&line, api, r, &err);
	if (status < 0) {
		http_reply_error(s, 400, err.text);
		return;
	}
	s->client.full = post;
	s->checked = false;
	http_reply_produce(s, &api_ops);
	command_run(&s->client, line.text);
}
