/*
 * http_reply: replies: the head, and the body in pieces.
 */
#ifndef HTTP_REPLY_H
#define HTTP_REPLY_H

#include "http_session.h"

/*
 * Begins the reply with its head; len: that of the body, or -1: it is produced by the
 * steps of ops.  headers: further lines, each with CR LF, or "".
 */
void http_reply_start(struct http_session *s, int status, const char *type,
    const char *headers, ssize_t len);
/* A whole reply, whose body is in s->out. */
void http_reply_whole(
    struct http_session *s, int status, const char *type, const char *headers);
/* A whole reply, which is a line of text. */
void http_reply_text(struct http_session *s, int status, const char *text);
/* The same, as the JSON object {"error": text}. */
void http_reply_error(struct http_session *s, int status, const char *text);
/* Appends a string of JSON with its quotes; of device data, text with C escapes. */
void http_json_string(struct evbuffer *out, const char *text);
/* Produces the body with these functions from now on. */
void http_reply_produce(struct http_session *s, const struct reply_ops *ops);
/* Adds data to what is queued for the client: of a reply without an end. */
void http_reply_push(struct http_session *s, struct evbuffer *data);

/* Performs a step of the reply; false: nothing can be done now. */
bool http_reply_step(struct http_session *s);
/* Frees the request and what its reply used; also when it is not completed. */
void http_reply_end(struct http_session *s);

#endif
