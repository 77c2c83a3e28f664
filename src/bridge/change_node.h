/*
 * change_node: what a node keeps when its section changes.
 */
#ifndef CHANGE_NODE_H
#define CHANGE_NODE_H

#include "forward.h"

/*
 * Takes over the counters of the node that is replaced and, where both have a single port,
 * the frames that wait.
 */
void node_inherit(struct node *to, struct node *from);
/* Applies the section to a node that stays open, if the section has changed. */
void node_follow(struct node *node, struct endpoint_conf *conf);

#endif
