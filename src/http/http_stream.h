/*
 * http_stream: /api/stream, server-sent events for the page: the counters of all endpoints and
 * routes once a second, and the last frames of those endpoints that the query names
 * (?watch=ar1,ar2).
 */
#ifndef HTTP_STREAM_H
#define HTTP_STREAM_H

struct http_session;

void stream_reply(struct http_session *s);

#endif
