/*
 * mavlink: the table of MAVLink messages.
 */
#ifndef MAVLINK_H
#define MAVLINK_H

#include <stdint.h>

/* CRC_EXTRA of a message, or -1 when it is not in the table. */
int mavlink_extra(uint32_t id);
/*
 * The offset of the addressed system in the payload of a message, or -1 when it has none,
 * or is not in the table.
 */
int mavlink_target(uint32_t id);

#endif
