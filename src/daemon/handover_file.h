/*
 * handover_file: the file with the state that a bridge has in memory, written by one
 * process and read by the next.
 */
#ifndef HANDOVER_FILE_H
#define HANDOVER_FILE_H

#include "restore.h"

/*
 * Writes the file, with the numbers of the open descriptors if they are to stay open
 * through exec().  Returns its descriptor, or -errno.
 */
int handover_make(const struct bridge *b, bool descriptors);
/*
 * Reads the whole file into memory, to be freed.  -EINVAL: it is no such file, or not
 * sealed; -errno.
 */
int handover_load(int fd, uint8_t **ret, size_t *ret_len);
/*
 * Parses a loaded file, which must stay valid as long as the snapshot.  descriptor, which
 * may be NULL, is called for each descriptor in it.  Returns the same as snapshot_read().
 */
int handover_read(const uint8_t *data, size_t len, struct snapshot **ret,
    void (*descriptor)(const char *name, int fd));

#endif
