/*
 * mavlink_target: where the messages of MAVLink's common and ardupilotmega sets, and of all
 * sets that these include, have the system that they are addressed to.
 *
 * Each number is the offset of the field target_system in the payload, which follows from
 * the definition of the message: fields are sent in the order of the size of their types,
 * and extensions after them in the order of the definition.
 */
#include <stddef.h>

#include "mavlink.h"

/* clang-format off */

/* In ascending order of ids. */
static const struct {
	uint16_t	id;
	uint8_t		offset;
} targets[] = {
	{ 4, 12 }, { 5, 0 }, { 11, 4 }, { 20, 2 }, { 21, 0 }, { 23, 4 },
	{ 37, 4 }, { 38, 4 }, { 39, 32 }, { 40, 2 }, { 41, 2 }, { 43, 0 },
	{ 44, 2 }, { 45, 0 }, { 47, 0 }, { 48, 12 }, { 50, 18 }, { 51, 2 },
	{ 54, 24 }, { 66, 2 }, { 70, 16 }, { 73, 32 }, { 75, 30 },
	{ 76, 30 }, { 77, 8 }, { 80, 2 }, { 82, 36 }, { 84, 50 }, { 86, 50 },
	{ 110, 1 }, { 111, 16 }, { 117, 4 }, { 119, 10 }, { 121, 0 },
	{ 122, 0 }, { 123, 0 }, { 126, 79 }, { 139, 41 }, { 151, 6 },
	{ 154, 6 }, { 155, 4 }, { 156, 0 }, { 157, 12 }, { 158, 12 },
	{ 160, 8 }, { 161, 0 }, { 175, 14 }, { 176, 0 }, { 179, 26 },
	{ 180, 42 }, { 184, 4 }, { 185, 4 }, { 186, 0 }, { 200, 40 },
	{ 201, 12 }, { 214, 6 }, { 216, 0 }, { 218, 0 }, { 243, 52 },
	{ 248, 3 }, { 256, 8 }, { 258, 0 }, { 266, 2 }, { 267, 2 },
	{ 268, 2 }, { 282, 32 }, { 284, 30 }, { 285, 38 }, { 286, 50 },
	{ 287, 20 }, { 288, 20 }, { 320, 2 }, { 321, 0 }, { 323, 0 },
	{ 385, 2 }, { 386, 4 }, { 387, 4 }, { 388, 32 }, { 400, 4 },
	{ 401, 4 }, { 412, 4 }, { 413, 4 }, { 11000, 4 }, { 11002, 4 },
	{ 11004, 8 }, { 11033, 16 }, { 11035, 4 }, { 12900, 0 },
	{ 12901, 30 }, { 12902, 4 }, { 12903, 0 }, { 12904, 28 },
	{ 12905, 0 }, { 12915, 0 }, { 12919, 16 }, { 50004, 8 },
	{ 50005, 4 },
};

/* clang-format on */

int
mavlink_target(uint32_t id)
{
	size_t from = 0, to = sizeof(targets) / sizeof(targets[0]);

	while (from < to) {
		size_t middle = (from + to) / 2;

		if (targets[middle].id == id)
			return targets[middle].offset;
		if (targets[middle].id < id)
			from = middle + 1;
		else
			to = middle;
	}
	return -1;
}
