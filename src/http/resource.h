/*
 * resource: what a web server has, by path.
 */
#ifndef RESOURCE_H
#define RESOURCE_H

struct http_session;

/* Replies to the request of the session. */
void resource_reply(struct http_session *s);

#endif
