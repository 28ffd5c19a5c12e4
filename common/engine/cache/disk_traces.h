/* The disk cache as the library of traces sees it. */
#ifndef PM_CACHE_DISK_TRACES_H
#define PM_CACHE_DISK_TRACES_H

#include "cache/disk.h"
#include "trace/library.h"

pm_trace_cache pmi_disk_traces(pm_disk *disk);
pm_trace_cache pmi_disk_classes(pm_disk *disk);

#endif
