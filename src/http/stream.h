/*
 * stream: /api/stream, server-sent events for the page: the counters of all endpoints and
 * routes once a second, and the last frames of those endpoints that the query names
 * (?watch=ar1,ar2).
 */
#ifndef STREAM_H
#define STREAM_H

struct http_session;

void stream_reply(struct http_session *s);

#endif
