/* A whole file in memory. */
#ifndef PM_BASE_FILE_H
#define PM_BASE_FILE_H

#include "base/buffer.h"

/* Appends the file's bytes. Errors name the path: PM_ENOINPUT when it cannot be opened, PM_EIO when it cannot be
 * read. Free the buffer with pmi_buffer_free, also after a failure. */
pm_status pmi_file_read(const char *path, pm_buffer *out, pm_error *err);

#endif
