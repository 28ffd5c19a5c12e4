/* Messages as JSON, for people: schemas/README.md says how their values are shown. */
#ifndef PM_CLI_MESSAGE_VIEW_H
#define PM_CLI_MESSAGE_VIEW_H

#include "support/output.h"
#include "wire/message.h"

/* Writes one encoded message of any type, on one line; what has a seal inside of it, whose fit only a place could tell.
 * Errors: PM_EDATA for a name or version that this program does not know, and for anything that decoding refuses; `out`
 * then holds half an object. */
pm_status cli_message_write(const uint8_t *bytes, size_t n, cli_out *out, pm_error *err);

#endif
