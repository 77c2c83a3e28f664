/*
 * pdu: the tags with which a record of the link type "Wireshark upper PDU" begins, as
 * defined in Wireshark's epan/exported_pdu.h: a type and a length of two bytes each in
 * network order, and a value.  The last one is PDU_END; the frame follows.
 */
#ifndef PDU_H
#define PDU_H

#include "util.h"

/* From https://www.tcpdump.org/linktypes.html. */
#define PDU_LINKTYPE 252
/* The maximum that Wireshark reads of a record. */
#define PDU_SNAPLEN 262144
/* Space for the tags, whose texts have at most 1500 bytes. */
#define PDU_TAGS_MAX 1536

enum pdu_tag {
	PDU_END = 0,
	PDU_DISSECTOR_NAME = 12,
	PDU_COL_PROT_TEXT = 33,
	PDU_COL_INFO_TEXT = 36, /* read by Wireshark 4.2 and later */
};

/*
 * Writes the tags to a buffer of PDU_TAGS_MAX bytes: the dissector, and the texts of the
 * columns Protocol and Info.  Returns their length.
 */
size_t pdu_put_tags(
    uint8_t *to, const char *dissector, const char *protocol, const char *info);

#endif
