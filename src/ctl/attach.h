/*
 * attach: a terminal on an endpoint.
 */
#ifndef ATTACH_H
#define ATTACH_H

#include "ctl.h"

int attach_main(struct ctl *ctl, int argc, char **argv);

#endif
