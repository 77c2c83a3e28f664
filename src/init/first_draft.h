/*
 * first_draft: sections for serial ports of this machine.
 */
#ifndef FIRST_DRAFT_H
#define FIRST_DRAFT_H

#include "answers.h"
#include "draft.h"
#include "serial_list.h"

/*
 * Writes blocks for n ports, at least 1.  A single port is connected to a TCP server; clients
 * of one for several ports only read.
 */
void first_draft(struct draft *d, const struct serial_info *const *ports,
    const struct answer_device *devices, unsigned n,
    const struct answer_access *access);

#endif
