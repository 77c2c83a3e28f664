/*
 * live: frames as they pass, as a capture to a pipe.
 */
#ifndef LIVE_H
#define LIVE_H

#include "ctl.h"

/* `capture - ...` */
int live_main(struct ctl *ctl, int argc, char **argv);
/*
 * Writes a capture to the stream until its reader ends, with the arguments of `capture
 * stream`.  Returns the exit status.
 */
int live_run(struct ctl *ctl, FILE *stream, int argc, char **argv);

#endif
