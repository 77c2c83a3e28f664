/*
 * pdu: the tags with which a record of the link type "Wireshark upper PDU" begins.
 */
#include <arpa/inet.h>
#include <string.h>

#include "pdu.h"

/* Appends a tag; its value is padded to a multiple of four bytes. */
static size_t
put_tag(uint8_t *to, size_t at, enum pdu_tag tag, const char *text)
{
	size_t len = strlen(text), padded = (len + 3) & ~(size_t)3;
	uint16_t head[2] = { htons((uint16_t)tag), htons((uint16_t)padded) };

	memcpy(to + at, head, sizeof(head));
	memset(to + at + sizeof(head), 0, padded);
	memcpy(to + at + sizeof(head), text, len);
	return at + sizeof(head) + padded;
}

size_t
pdu_put_tags(
    uint8_t *to, const char *dissector, const char *protocol, const char *info)
{
	size_t at = 0;

	at = put_tag(to, at, PDU_DISSECTOR_NAME, dissector);
	at = put_tag(to, at, PDU_COL_PROT_TEXT, protocol);
	at = put_tag(to, at, PDU_COL_INFO_TEXT, info);
	return put_tag(to, at, PDU_END, "");
}
