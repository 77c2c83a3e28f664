/*
 * top: the endpoints, routes and tasks of a daemon on the whole screen.
 */
#ifndef TOP_H
#define TOP_H

#include "ctl.h"

int top_main(struct ctl *ctl, int argc, char **argv);

#endif
