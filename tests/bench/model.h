/*
 * model: the units on the bus, what they hold, and what masters ask them.
 */
#ifndef MODEL_H
#define MODEL_H

#include <stdbool.h>

#include "message.h"

#define MASTERS 256
#define SLOTS 8 /* requests of a master that are under way */

struct model_conf {
	const char *functions; /* such as "3,16"; NULL: all that there are */
	unsigned seed;
	unsigned most; /* registers that are read at once */
	unsigned
	    faulty; /* one in so many asks for what is not there; 0: none */
};

void model_init(const struct model_conf *conf);
/* A number below n. */
uint32_t random_below(uint32_t n);
/*
 * Makes a request.  Its first address tells the master and the slot, and what it writes
 * lies in addresses that belong to those.
 */
void model_request(unsigned master, unsigned slot, struct message *request);
/* Whose request it is; false: nobody's. */
bool model_owner(
    const struct message *request, unsigned *master, unsigned *slot);
/* Executes a request. */
void model_answer(const struct message *request, struct message *answer);

#endif
