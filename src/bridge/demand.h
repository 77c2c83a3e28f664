/*
 * demand: opens and closes endpoints that are open only while they are needed.
 */
#ifndef DEMAND_H
#define DEMAND_H

#include "bridge.h"

int demand_new(struct bridge *b);
void demand_free(struct bridge *b);
/* A client has connected or left: has all endpoints looked at, soon. */
void demand_note(struct bridge *b);
/* Opens or closes the endpoint if that is due.  Returns false if it is to be looked at
 * again later. */
bool demand_look(struct bridge *b, struct node *node);

#endif
