/*
 * call: a command that is being carried out, as the functions of the table see
 * it.
 */
#ifndef CALL_H
#define CALL_H

#include "client.h"
#include "error.h"
#include "output.h"

#define CALL_WORDS_MAX 64
/* The reply goes on: no "OK" yet. */
#define CALL_OPEN 1
/* There is more of the body: the function is to be called again. */
#define CALL_MORE 2
/* The same, but not before something that is awaited has come. */
#define CALL_WAIT 3
/* Rows that one piece of a body has at most. */
#define CALL_ROWS 32

struct call {
	struct client *client;
	struct bridge *bridge;
	const struct command *command;
	struct output *out;
	bool json;
	bool begun; /* it has been called before */
	bool ready; /* what it awaited has come... */
	int result; /* ...and was this */
	/* Of a body in pieces: where it is... */
	struct cursor at;
	struct task_cursor task;
	unsigned stage;
	size_t shown;
	/* ...and what this piece has left. */
	uint64_t until;
	unsigned rows;
	int argc;
	char *long_err; /* instead of err, if not NULL; freed with the call */
	char *argv[CALL_WORDS_MAX + 1]; /* [0]: the command */
	struct error err;
	char line[]; /* that argv points into */
};

struct command {
	const char *name;
	const char *usage;
	const char *help; /* one line */
	bool full;	  /* needs access = full */
	bool rest;	  /* its last word takes the rest of the line */
	int min, max;	  /* words after the name */
	/* 0, CALL_OPEN, CALL_MORE, CALL_WAIT, or -errno with a sentence in err.  NULL: only
	 * listed. */
	int (*run)(struct call *);
};

/* Sets the sentence and returns -error. */
int call_fail(struct call *call, int error, const char *fmt, ...) PRINTF(3, 4);
/* "unknown WHAT 'WORD'", with the nearest of the words, which are freed, or the command
 * that lists them; -ENOENT. */
int call_unknown(struct call *call, const char *what, const char *list,
    const char *word, const char **words);
/* The endpoint of that name, or NULL with a sentence that has the nearest name. */
struct node *call_node(struct call *call, const char *name);
/* The task of that name, or NULL with a sentence that has the nearest name. */
struct task *call_task(struct call *call, const char *name);

/*
 * A row more is done: whether this piece is long enough, so that CALL_MORE is due.
 */
bool call_pause(struct call *call);
/*
 * A table in pieces: row writes the next row, and is false when there was none.  To be
 * called as the whole of a command's function.
 */
int call_table(
    struct call *call, const char *const *headings, bool (*row)(struct call *));

/*
 * A copy of the words from that one on, which are names of endpoints, for a tap; NULL
 * with a sentence.
 */
char **call_names(struct call *call, int first);
/* Text without control characters, as the inside of a JSON string. */
void call_json_text(struct evbuffer *out, const char *text);
/* Bytes as text with C escapes, or the same as the inside of a JSON string. */
void call_escape(
    struct evbuffer *out, bool json, const uint8_t *data, size_t len);

/* action.c */
/* Sends one frame, with C escapes, to an endpoint; -errno with a sentence.  tap: who
 * awaits the answer, or NULL. */
int call_send(
    struct call *call, struct node *node, const struct tap *tap, char *text);
int run_send(struct call *call);
int run_pause(struct call *call);
int run_resume(struct call *call);
int run_reopen(struct call *call);
int run_break(struct call *call);
int run_cancel(struct call *call);
int run_reload(struct call *call);
int run_quit(struct call *call);

/* show.c: the tables. */
int show_ps(struct call *call);
int show_where(struct call *call);
int show_endpoints(struct call *call);
int show_routes(struct call *call);
int show_peers(struct call *call);
int show_version(struct call *call);

/* attribute.c: list, get and set by path. */
int attribute_list(struct call *call);
int attribute_get(struct call *call);
int attribute_set(struct call *call);

/* value.c, for tables too.  Paused by a person is what an endpoint is that would
 * be up; lost is lost. */
const char *attribute_state(const struct node *node);

/* value_daemon.c: how long the process has run. */
uint64_t attribute_uptime(void);

/* watch.c */
/* Whether there is something to show. */
bool command_watch_waits(const struct client *c);
/* Shows some; false once there is nothing more. */
bool command_watch(struct client *c);
int watch_start(struct call *call);

/* ask.c */
/* Appends some of the answer, and "OK" after its end. */
void command_answer(struct client *c);
int ask_start(struct call *call);

/* capture_command.c */
int run_capture(struct call *call);

#endif
