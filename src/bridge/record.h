/*
 * record: what is read from and written to an endpoint, in a log.
 *
 * The log of an endpoint (key log) is written by the thread for files.  As text and as
 * JSON it has a line for each line that passes, or for each LOG_LINE bytes without an end
 * of line; the beginning of a line is logged after a while.  As hexadecimal it has a line
 * for each piece that is read or written.
 */
#ifndef RECORD_H
#define RECORD_H

#include "bridge.h"
#include "pack.h"

/* The section of the node is used, or has changed: opens or closes the log. */
void node_record(struct node *node);
/*
 * The node is about to get that section, NULL: to be removed: closes the log if it is
 * another one then, because another node may get it.
 */
void node_record_change(struct node *node, const struct endpoint_conf *conf);
/* The node is new: restores what history_save() has saved of its predecessor. */
void node_record_restore(struct node *node, const struct span *input,
    const struct unpack *frames, size_t nframes);
/* The node is about to be freed. */
void node_record_end(struct node *node);
/* The port is about to be freed: logs the beginnings of its lines. */
void port_record_end(struct port *port);

#endif
