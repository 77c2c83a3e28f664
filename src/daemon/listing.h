/*
 * listing: the tables of the program, for people and for what makes manual pages and
 * completions.
 */
#ifndef LISTING_H
#define LISTING_H

/* Print to standard output, whose errors the caller has to look for. */
void list_framings(void);
/* Each section: the keys, their defaults, what they may be, what they are for. */
void list_keys(void);
/* The commands of a control port. */
void list_commands(void);

#endif
