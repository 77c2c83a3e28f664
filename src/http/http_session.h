/*
 * http_session: a connection of a web browser, or of another client.
 */
#ifndef HTTP_SESSION_H
#define HTTP_SESSION_H

#include "client.h"
#include "control.h"
#include "request.h"
#include "turns.h"

/* While more than this is queued for a client, nothing more is produced. */
#define HTTP_OUTPUT_MARK (64 * 1024)

struct http_session;
struct metrics;
struct http_stream;

/* What a step of a reply has done. */
enum step {
	STEP_MORE,  /* there is more to be done */
	STEP_WAIT,  /* nothing now; http_session_wake() is called later */
	STEP_DONE,  /* the reply is complete */
	STEP_FAILED /* it cannot be completed: the connection is closed */
};

/* How a reply is produced, in pieces. */
struct reply_ops {
	/* Appends a piece of the body to s->out. */
	enum step (*step)(struct http_session *s);
	/* Frees what it used; also when it is not completed.  NULL: nothing. */
	void (*end)(struct http_session *s);
	/* It has no end, and so no deadline: the kernel ends the connection if the client
	 * takes nothing of it. */
	bool endless;
};

enum http_state {
	HTTP_IDLE,    /* awaits a request */
	HTTP_READING, /* has a part of a request */
	HTTP_REPLYING,
	HTTP_LINGERING, /* all is sent: waits for the client to close */
	HTTP_CLOSED	/* about to be freed */
};

struct http_session {
	TAILQ_ENTRY(http_session) entry;
	struct turn turn;
	struct client client; /* its interface for the commands */
	struct control *control;
	char name[ENDPOINT_NAME_MAX + 24]; /* "http.client#3" */
	char address[ENDPOINT_ADDRESS_MAX];
	struct bufferevent *bev;
	struct tls_session *tls; /* of bev; NULL: no TLS */
	struct event
	    *timer; /* the deadline, or the deferred step that frees it */
	enum http_state state;
	uint64_t since_ns;	/* of the state */
	char why[LINK_WHY_MAX]; /* it was closed; empty: all is replied to */
	bool unparsed;		/* input, or its end, has not been looked at */
	bool ended;		/* the client sends no more */
	bool keep_alive;	/* another request may follow */
	bool started;		/* the head of the reply is queued */
	bool chunked;		/* its body is sent in chunks */
	bool bodyless;		/* it has no body, as it replies to HEAD */
	uint64_t requests;
	struct evbuffer *out;	 /* of the body, to be sent */
	bool more;		 /* the next step of the reply can be done */
	bool asking;		 /* no deadline: client.asking */
	struct request *request; /* while it is replied to */
	char *body;		 /* of the request, NUL-terminated */
	const struct reply_ops *reply;
	void (*respond)(struct http_session *);
	/* The state of the replies. */
	struct metrics *metrics;
	struct http_stream *stream;
	bool checked; /* the first bytes of a command's reply were looked at */
	struct task read, write, deadline;
};
TAILQ_HEAD(http_list, http_session);

/* All of them, of all ports. */
extern struct http_list http_sessions;

/*
 * See session_new of struct control_ops.  respond() begins the reply to each request, see
 * http_reply.h.
 */
int http_session_new(struct control *c, int fd, struct tls_session *tls,
    const char *peer, void (*respond)(struct http_session *));
void http_session_free(struct http_session *s);
/* Sends what is queued, as far as possible without blocking. */
void http_session_last(struct http_session *s);

#endif
