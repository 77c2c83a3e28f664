/*
 * call: a command in progress, as seen by the functions in the command table.
 */
#ifndef CALL_H
#define CALL_H

#include "client.h"
#include "error.h"
#include "output.h"

#define CALL_WORDS_MAX 64
/* The reply continues: no "OK" yet. */
#define CALL_OPEN 1
/* There is more of the body: call the function again. */
#define CALL_MORE 2
/* The same, but not before an event has occurred. */
#define CALL_WAIT 3
/* The maximum number of rows in one piece of a body. */
#define CALL_ROWS 32

struct spool_export;

struct call {
	struct client *client;
	struct bridge *bridge;
	const struct command *command;
	struct output *out;
	bool json;
	bool begun; /* the function was called before */
	bool ready; /* the event has occurred... */
	int result; /* ...with this result */
	/* For a body in pieces: the position... */
	struct cursor at;
	struct task_cursor task;
	struct task_order *order;    /* NULL: as they were registered */
	struct spool_export *export; /* NULL: none */
	unsigned stage;
	size_t shown;
	uint8_t *bytes; /* that are shown, freed with the call */
	size_t nbytes;
	/* ...and the limits of this piece. */
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
	const char *help;     /* one line */
	bool full;	      /* requires access = full... */
	const char *full_for; /* ...or only "start: " does; NULL: none */
	bool rest;	      /* the last word is the rest of the line */
	int min, max;	      /* number of words after the name */
	/*
	 * Returns 0, CALL_OPEN, CALL_MORE, CALL_WAIT, or -errno with a message in err.
	 * NULL: only listed.
	 */
	int (*run)(struct call *);
};

/* Sets the message and returns -error. */
int call_fail(struct call *call, int error, const char *fmt, ...) PRINTF(3, 4);
/* Says what the client lacks for something that needs full access; returns -EACCES. */
int call_not_allowed(struct call *call, const char *what);
/*
 * Sets "unknown WHAT 'WORD'", with the most similar of the words, which are freed, or the
 * command that lists them; returns -ENOENT.
 */
int call_unknown(struct call *call, const char *what, const char *list,
    const char *word, const char **words);
/*
 * The endpoint with that name, or NULL with a message that suggests the most similar
 * name.
 */
struct node *call_node(struct call *call, const char *name);
/* The task with that name, or NULL with a message that suggests the most similar name. */
struct task *call_task(struct call *call, const char *name);

/* Whether the word is an option, such as -x: names do not begin with '-'. */
bool call_is_option(const char *word);

/*
 * To be called after each row: returns whether the piece is complete, so that CALL_MORE
 * is to be returned.
 */
bool call_pause(struct call *call);
/*
 * Writes a table in pieces: row writes the next row, and returns false when there is
 * none.  To be called as the whole of a command's function.
 */
int call_table(
    struct call *call, const char *const *headings, bool (*row)(struct call *));

/* Starts again from the first endpoint, route and task. */
void call_rewind(struct call *call);

/*
 * A copy of the words from index first on, which are names of endpoints, for a tap; NULL
 * with a message.
 */
char **call_names(struct call *call, int first);
/* Fails if the endpoint cannot answer now, because it is not up or is paused. */
int node_can_answer(struct error *err, const struct node *node);
int call_can_answer(struct call *call, const struct node *node);
/* Appends text without control characters as the inside of a JSON string. */
void call_json_text(struct evbuffer *out, const char *text);
/* Appends bytes as text with C escapes, or the same as the inside of a JSON string. */
void call_escape(
    struct evbuffer *out, bool json, const uint8_t *data, size_t len);

/* action.c */
/*
 * Converts text with C escapes to a frame of at most CLIENT_LINE_MAX bytes; returns its
 * length, or -errno with a message.
 */
long call_frame(struct call *call, const char *text, uint8_t *frame);
/*
 * Sends one frame to an endpoint; -errno with a message.  tap: awaits the answer, or
 * NULL.
 */
int send_frame(struct error *err, struct node *node, struct tap *tap,
    const uint8_t *frame, size_t len);
int call_send(
    struct call *call, struct node *node, const uint8_t *frame, size_t len);
int run_send(struct call *call);
int run_pause(struct call *call);
int run_resume(struct call *call);
int run_reopen(struct call *call);
int run_break(struct call *call);
int run_reset(struct call *call);
int run_cancel(struct call *call);
int run_reload(struct call *call);
int run_quit(struct call *call);

/* tasks.c */
int show_ps(struct call *call);
int show_where(struct call *call);
int show_warnings(struct call *call);
int show_ended(struct call *call);
int show_stalls(struct call *call);

/* show.c: the other tables. */
int show_endpoints(struct call *call);
int show_routes(struct call *call);
int show_peers(struct call *call);
int show_version(struct call *call);

/* attribute.c: list, get and set by path. */
int attribute_list(struct call *call);
int attribute_get(struct call *call);
int attribute_set(struct call *call);

/*
 * value.c, also used by tables.  An endpoint is "paused" only if it would be up
 * otherwise.
 */
const char *attribute_state(const struct node *node);

/* value_daemon.c: the time since the process started. */
uint64_t attribute_uptime(void);

/* watch.c */
/* Whether there is something to show. */
bool command_watch_waits(const struct client *c);
/* Shows some frames; false when there are no more. */
bool command_watch(struct client *c);
void command_unwatch(struct client *c);
int watch_start(struct call *call);
/* Shows frames as lines for a capture; first: the first argument that is a name. */
int stream_start(struct call *call, int first, bool all);
/* watch_events.c */
int events_start(struct call *call);

/* ask.c */
/* Shows a part of an answer, and "OK" after the last one. */
void command_answer(struct client *c);
/* Ends the queries of the client, without a reply. */
void command_unask(struct client *c);
int ask_start(struct call *call);
int gather_start(struct call *call);
int race_start(struct call *call);
int stream_queries_start(struct call *call);

/* scan.c */
/* Shows the result of a unit, or asks the next one. */
void command_scan(struct client *c);
/* Ends the scan, with what was found. */
void command_unscan(struct client *c);
int scan_start(struct call *call);

/* history_command.c */
int run_history(struct call *call);

/* capture_command.c */
int run_capture(struct call *call);

/* spool_command.c */
int run_spool(struct call *call);
/* NULL is allowed. */
void spool_export_free(struct spool_export *e);

#endif
