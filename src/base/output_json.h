/*
 * output_json: a reply in JSON, for output.c.
 *
 * The reply is built as one value for each kind of data, and the values are joined at
 * the end.  A reply in pieces has a single kind: each piece is written without the
 * closing bracket, and the next piece continues inside it.
 */
#ifndef OUTPUT_JSON_H
#define OUTPUT_JSON_H

#include <jansson.h>

#include "util.h"

struct evbuffer;

struct json_reply {
	bool begun;    /* the opening bracket has been written */
	bool elements; /* and an element after it */
	/* NULL if the reply has none of that kind. */
	json_t *pairs;
	json_t *rows;
	json_t *lines;
	json_t *value;
};

/* Discards what was not written. */
void json_reply_clear(struct json_reply *reply);

/*
 * Add to the reply; return 0 or -ENOMEM.  Ownership of a json_t is taken, also on
 * failure; NULL stands for a value that could not be created.
 */
int json_reply_pair(struct json_reply *reply, const char *name, json_t *value);
int json_reply_table(struct json_reply *reply);
int json_reply_cell(
    struct json_reply *reply, bool new_row, const char *member, json_t *value);
int json_reply_line(struct json_reply *reply, const char *text);
/* Replaces the previous value. */
int json_reply_value(struct json_reply *reply, const char *text);

/* "RX BYTES" to "rx_bytes", in place. */
void json_member_name(char *name);
/* The text as a JSON number, or NULL if it is not one. */
json_t *json_from_number(const char *text);

/* Writes the elements so far and discards them; end: this is the last piece. */
int json_reply_flush(struct json_reply *reply, struct evbuffer *dst, bool end);
/* Writes the reply, or the part that is not written yet. */
int json_reply_finish(struct json_reply *reply, struct evbuffer *dst);

#endif
