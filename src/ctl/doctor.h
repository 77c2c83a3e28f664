/*
 * doctor: looks for what is wrong with the configuration, the daemon and the system.
 *
 * doctor_main() collects the facts, runs a table of checks, and prints what they have
 * found.  A check is a function that reads the facts and the system, and changes nothing.
 */
#ifndef DOCTOR_H
#define DOCTOR_H

#include "ctl.h"

int doctor_main(struct ctl *ctl, int argc, char **argv);

#endif
