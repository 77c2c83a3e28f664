/*
 * daemon_connection: a connection to a control port, on which commands are sent and replies are
 * read.
 *
 * Functions that wait return -EINTR when a signal has set connection_stop, and -ETIMEDOUT
 * after timeout_ms without any progress.
 */
#ifndef DAEMON_CONNECTION_H
#define DAEMON_CONNECTION_H

#include <signal.h>

#include <jansson.h>

#include "tls.h"

/* The longest line of a reply. */
#define CONNECTION_LINE_MAX (64 << 20)

/* Where a control port is. */
struct target {
	char *address; /* "unix:/run/x.sock", "127.0.0.1:5010", "host:5010" */
	struct tls_conf tls;
};

struct connection {
	int fd;
	struct tls_session *tls; /* NULL: none */
	struct tls_context *context;
	int timeout_ms; /* -1: waits for ever */
	bool heard;	/* something has been received... */
	bool ended;	/* ...namely everything */
	/* The input that was not returned yet is from start to end. */
	char *in;
	size_t start, end, size;
	size_t searched; /* up to here there is no end of a line */
};

extern volatile sig_atomic_t connection_stop;

/* Of all connections together. */
struct connection_limits {
	uint64_t end_ns; /* no wait lasts longer than until then; 0: none */
	size_t line;	 /* the longest line of a reply */
};

extern struct connection_limits connection_limits;

/* -errno and err. */
int connection_open(const struct target *target, int timeout_ms,
    struct connection **ret, struct error *err);
void connection_close(struct connection *c);

/* Sends a line, to which the end of the line is added. */
int connection_send(struct connection *c, const char *line, struct error *err);
/* Sends no more, so that the other side ends the session after its last reply. */
int connection_finish(struct connection *c, struct error *err);

/*
 * The next line, without its end, that was received already; NULL: there is none.  It is
 * valid until the next call for this connection.
 */
char *connection_line(struct connection *c);
/* Receives what can be received without waiting.  -errno and err. */
int connection_receive(struct connection *c, struct error *err);
/*
 * Waits for input, and receives it.  Returns 1 when the reader of the output, which is a
 * pipe or a file, has closed it; 0; or -errno and err.
 */
int connection_wait(struct connection *c, int output, struct error *err);
/* Whether connection_receive() has something to do although poll() does not say so. */
bool connection_pending(const struct connection *c);
/* Waits for the next line; NULL: the session was ended by the other side. */
int connection_next(struct connection *c, char **line, struct error *err);

/*
 * Whether the line is the last one of a reply: 1: "OK", or -EPROTO and the message of an
 * "ERR"; 0: it is another line.
 */
int reply_end(const char *line, struct error *err);
/*
 * Sends "json COMMAND" and waits for the reply.  -EPROTO: the daemon has refused the
 * command; any other -errno: the connection is of no use any more.
 */
int connection_query(
    struct connection *c, const char *command, json_t **ret, struct error *err);
/* Sends a command and waits for the end of the reply, the body of which is ignored. */
int connection_command(
    struct connection *c, const char *command, struct error *err);

#endif
