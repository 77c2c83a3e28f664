/*
 * spool_ledger: up to which frame a spool was delivered.
 *
 * The slots are in different sectors, and only one of them is written at a time: whenever the
 * power fails, the other one is valid.
 */
#include <sys/types.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "checksum.h"
#include "spool_parts.h"

#define LEDGER_NAME "ledger"
#define LEDGER_MAGIC "TTYBLED1"
#define SLOT 32
#define SLOT_AT 512

static bool
read_slot(const uint8_t *at, struct ledger *ret)
{
	if (memcmp(at, LEDGER_MAGIC, 8) != 0 ||
	    get_le(at + 28, 4) != crc32_ieee(0, at, 28))
		return false;
	ret->generation = get_le(at + 8, 8);
	ret->number = get_le(at + 16, 8);
	return true;
}

/* In the order of serial numbers, so that the one after the highest is higher. */
static bool
is_later(uint64_t generation, uint64_t than)
{
	return (int64_t)(generation - than) > 0;
}

bool
ledger_decode(const uint8_t *at, size_t len, struct ledger *ret)
{
	struct ledger slot;
	bool found = false;

	for (unsigned i = 0; i < 2 && len >= i * SLOT_AT + SLOT; i++) {
		if (!read_slot(at + i * SLOT_AT, &slot) ||
		    (found && !is_later(slot.generation, ret->generation)))
			continue;
		ret->generation = slot.generation;
		ret->number = slot.number;
		ret->slot = i;
		found = true;
	}
	return found;
}

int
ledger_open(
    struct ledger *ledger, int directory, bool read_only, bool *ret_lost)
{
	uint8_t buf[SLOT_AT + SLOT];
	ssize_t n;

	ledger->generation = ledger->number = 0;
	ledger->slot = 0;
	ledger->fd = openat(directory, LEDGER_NAME,
	    (read_only ? O_RDONLY : O_RDWR | O_CREAT) | O_CLOEXEC | O_NOFOLLOW |
		O_NONBLOCK,
	    0600);
	if (ledger->fd < 0)
		return -errno;
	if ((n = read_at(ledger->fd, buf, sizeof(buf), 0)) < 0)
		return (int)n;
	*ret_lost = !ledger_decode(buf, (size_t)n, ledger) && n > 0;
	return 0;
}

int
ledger_write(struct ledger *ledger, uint64_t number, bool sync)
{
	uint64_t generation = ledger->generation + 1;
	unsigned other = 1 - ledger->slot;
	uint8_t slot[SLOT] = LEDGER_MAGIC;
	int r;

	put_le(slot + 8, generation, 8);
	put_le(slot + 16, number, 8);
	put_le(slot + 24, 0, 4);
	put_le(slot + 28, crc32_ieee(0, slot, 28), 4);
	r = write_at(ledger->fd, slot, sizeof(slot), other * SLOT_AT);
	if (r == 0 && sync && fdatasync(ledger->fd) < 0)
		r = -errno;
	if (r == 0) {
		ledger->generation = generation;
		ledger->number = number;
		ledger->slot = other;
	}
	return r;
}

void
ledger_close(struct ledger *ledger)
{
	if (ledger->fd >= 0)
		close(ledger->fd);
	ledger->fd = -1;
}
