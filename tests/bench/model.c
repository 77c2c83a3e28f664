/*
 * model: units with 32768 registers each, the lowest bits of which are the coils too.  A
 * register holds a function of its unit and address until it is written.
 */
#include <err.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

#define UNITS 8
#define SLOT 16 /* registers */
#define REGISTERS (MASTERS * SLOTS * SLOT)
#define NO_SUCH_ADDRESS 2

static const uint8_t every_function[] = { 3, 3, 3, 4, 4, 1, 2, 6, 16, 16, 5, 15,
	23 };
static uint8_t functions[64];
static unsigned nfunctions;
static struct model_conf conf;
static uint16_t memory[UNITS + 1][REGISTERS];
static uint64_t state;

uint32_t
random_below(uint32_t n)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (uint32_t)((state * 0x2545f4914f6cdd1dULL >> 32) * n >> 32);
}

static void
read_functions(const char *list)
{
	char *end;

	if (list == NULL) {
		nfunctions = sizeof(every_function);
		memcpy(functions, every_function, nfunctions);
		return;
	}
	for (; *list != '\0' && nfunctions < sizeof(functions); list = end) {
		functions[nfunctions] = (uint8_t)strtoul(list, &end, 10);
		if (memchr(every_function, functions[nfunctions++],
			sizeof(every_function)) == NULL)
			errx(2, "no such function: %s", list);
		end += *end == ',';
	}
}

void
model_init(const struct model_conf *wanted)
{
	conf = *wanted;
	state = 0x9e3779b97f4a7c15ULL * (conf.seed + 1);
	read_functions(conf.functions);
	for (unsigned unit = 1; unit <= UNITS; unit++)
		for (unsigned i = 0; i < REGISTERS; i++)
			memory[unit][i] =
			    (uint16_t)((unit << 20 | i) * 0x9e3779b1U >> 16);
}

/* --- requests ------------------------------------------------------------ */

static bool
reads(unsigned function)
{
	return function <= 4 || function == 23;
}

/* Appends the values of a request that writes, with their number and length. */
static void
add_values(struct message *m, unsigned n, bool coils)
{
	unsigned bytes = coils ? (n + 7) / 8 : 2 * n;

	put16(m->inner + m->len, n);
	m->inner[m->len + 2] = (uint8_t)bytes;
	m->len += 3;
	while (bytes-- > 0)
		m->inner[m->len++] = (uint8_t)random_below(256);
}

void
model_request(unsigned master, unsigned slot, struct message *m)
{
	unsigned offset = random_below(SLOT), function, first;
	unsigned writes = 1 + random_below(SLOT - offset);

	function = functions[random_below(nfunctions)];
	first = (master * SLOTS + slot) * SLOT + offset;
	if (conf.faulty != 0 && random_below(conf.faulty) == 0)
		first |= REGISTERS;
	m->inner[0] = (uint8_t)(1 + random_below(UNITS));
	m->inner[1] = (uint8_t)function;
	put16(m->inner + 2, first);
	m->len = 4;
	if (reads(function)) {
		put16(m->inner + 4, 1 + random_below(conf.most));
		m->len = 6;
	}
	switch (function) {
	case 5:
		put16(m->inner + 4, random_below(2) ? 0xff00 : 0);
		m->len = 6;
		break;
	case 6:
		put16(m->inner + 4, random_below(0x10000));
		m->len = 6;
		break;
	case 23:
		put16(m->inner + 6, first);
		m->len = 8;
		/* FALLTHROUGH */
	case 15:
	case 16:
		add_values(m, writes, function == 15);
		break;
	}
}

bool
model_owner(const struct message *m, unsigned *master, unsigned *slot)
{
	unsigned at = (get16(m->inner + 2) % REGISTERS) / SLOT;

	*slot = at % SLOTS;
	*master = at / SLOTS;
	return m->inner[0] >= 1 && m->inner[0] <= UNITS;
}

/* --- answers ------------------------------------------------------------- */

static void
write_values(uint16_t *registers, const uint8_t *p, unsigned n, bool coils)
{
	for (unsigned i = 0; i < n; i++)
		if (coils)
			registers[i] = (uint16_t)((registers[i] & ~1) |
			    (p[i / 8] >> i % 8 & 1));
		else
			registers[i] = get16(p + 2 * i);
}

static void
read_values(
    const uint16_t *registers, unsigned n, bool coils, struct message *answer)
{
	unsigned bytes = coils ? (n + 7) / 8 : 2 * n;
	uint8_t *p = answer->inner + 3;

	memset(p, 0, bytes);
	for (unsigned i = 0; i < n; i++)
		if (coils)
			p[i / 8] |= (uint8_t)((registers[i] & 1) << i % 8);
		else
			put16(p + 2 * i, registers[i]);
	answer->inner[2] = (uint8_t)bytes;
	answer->len = 3 + bytes;
}

static void
execute(uint16_t *registers, const struct message *m, struct message *answer)
{
	const uint8_t *p = m->inner;
	unsigned count = get16(p + 4);

	switch (p[1]) {
	case 5:
		*registers = (uint16_t)((*registers & ~1) | (count != 0));
		break;
	case 6:
		*registers = (uint16_t)count;
		break;
	case 15:
	case 16:
		write_values(registers, p + 7, count, p[1] == 15);
		break;
	case 23:
		write_values(registers, p + 11, get16(p + 8), false);
		break;
	}
	if (reads(p[1]))
		read_values(registers, count, p[1] <= 2, answer);
	else
		answer->len = 6; /* as in the request */
}

void
model_answer(const struct message *m, struct message *answer)
{
	unsigned unit = m->inner[0], first = get16(m->inner + 2);
	unsigned count = reads(m->inner[1]) ? get16(m->inner + 4) : 1;

	*answer = *m;
	if (unit <= UNITS && first + count <= REGISTERS) {
		execute(&memory[unit][first], m, answer);
		return;
	}
	answer->inner[1] |= 0x80;
	answer->inner[2] = NO_SUCH_ADDRESS;
	answer->len = 3;
}
