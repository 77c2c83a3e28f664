/*
 * replay: sends the frames of a capture to an endpoint, at the times at which they came.
 */
#ifndef REPLAY_H
#define REPLAY_H

#include "ctl.h"

int replay_main(struct ctl *ctl, int argc, char **argv);

#endif
