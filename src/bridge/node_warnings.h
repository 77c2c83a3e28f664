/*
 * node_warnings: what looks wrong with an endpoint: it is lost again and again, cannot be
 * opened for a long time, has never received a frame, receives only bad ones, is raw while
 * the other side is framed, or its log cannot be written.
 */
#ifndef NODE_WARNINGS_H
#define NODE_WARNINGS_H

#include "bridge.h"

/* The state of the endpoint, a key of its section, or its routes may have changed. */
void node_warnings_note(struct node *node);
/* The function for warnings_source(); arg: the bridge. */
void node_warnings_check(void *arg, uint64_t now);

#endif
