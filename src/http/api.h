/*
 * api: /api/COMMAND, the commands of the control port.  The reply is the body of `json
 * COMMAND`, or {"error": MESSAGE} with status 400, or 404 for an unknown path.
 */
#ifndef API_H
#define API_H

struct http_session;

void api_reply(struct http_session *s);

#endif
