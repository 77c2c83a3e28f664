/*
 * replay: sends the frames of a capture to an endpoint, at the times at which they came.
 */
#ifndef REPLAY_H
#define REPLAY_H

#include "ctl.h"

/*
 * When a frame is sent, so many seconds after the first one in the capture; UINT64_MAX for
 * what is later than any time.
 */
uint64_t replay_when(uint64_t start_ns, double seconds, double speed);
int replay_main(struct ctl *ctl, int argc, char **argv);

#endif
