/*
 * http_state: what a session waits for, and how it is closed.
 */
#ifndef HTTP_STATE_H
#define HTTP_STATE_H

#include "http_session.h"

/* Bytes queued for the client. */
size_t http_session_queued(const struct http_session *s);
/* There is something to be done: the session gets a turn. */
void http_session_wake(struct http_session *s);
/* Closes the session; it is freed in a deferred step. */
void http_session_close(struct http_session *s, const char *why);

/* The other functions are for the source files of sessions only. */

/* It occupies no place any more: it is closed, though not freed yet. */
void http_session_uncount(struct http_session *s);

/* Nothing more is produced until the client has taken some of what is queued. */
bool http_is_full(const struct http_session *s);
/* The reply in progress has no end; that to HEAD ends with its head. */
bool http_is_endless(const struct http_session *s);
/* The only writer of the state; its deadline starts. */
void http_set_state(struct http_session *s, enum http_state state);
void http_set_deadline(struct http_session *s, uint64_t ns);
void http_no_deadline(struct http_session *s);
/* Decides again what the session waits for; to be called after each change. */
void http_update(struct http_session *s);

#endif
