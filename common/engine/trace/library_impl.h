/* What the files of the library share: a graph that was seen before, and its traces. */
#ifndef PM_TRACE_LIBRARY_IMPL_H
#define PM_TRACE_LIBRARY_IMPL_H

#include "scc/classes.h"
#include "trace/library.h"

/* What is kept of a graph in `options->classes`, of its numbers of SCCs and states; *found is false when it is not
 * there, or was damaged, which is logged (an error with strict_cache). Free with pmi_kept_classes_free. */
pm_status pmi_classes_fetch(const pm_analysis *analysis, const pm_library_options *options, pm_kept_classes *out,
                            bool *found, pm_error *err);
/* The classes made of it (pmi_classes_restore) become the analysis's; *found is false when they are not those of the
 * graph, or their keys not those of its digraphs: damage, as above. */
pm_status pmi_classes_of_kept(pm_analysis *analysis, const pm_library_options *options, const pm_kept_classes *kept,
                              bool *found, pm_error *err);
/* Keeps them; what fails is a warning. */
void pmi_classes_keep(const pm_analysis *analysis, const pm_library_options *options);

/* The encoded trace of a key from `options->cache`. With strict_cache a damaged one is an error. */
pm_status pmi_library_get(const pm_library_options *options, const uint8_t key[PM_DIGEST_BYTES], pm_buffer *bytes,
                          pm_cache_found *found, pm_error *err);

/* Decodes it, with its checksum unless the cache has one of its own. Free with pmi_trace_free. */
pm_status pmi_library_decode(const pm_library_options *options, const pm_buffer *bytes, pm_trace *out,
                             uint8_t key[PM_DIGEST_BYTES], pm_error *err);

/* The whole library from what is kept of the graph and `options->cache`, where all of it is there and fits: every SCC
 * is held against its trace, and neither digraphs nor keys are made. *made is false when anything is missing or wrong;
 * nothing is logged or removed for it. Takes kept->names when it is made. Free with pmi_library_free. */
pm_status pmi_library_of_kept(const pm_analysis *analysis, pm_kept_classes *kept, const pm_library_options *options,
                              pm_library *out, bool *made, pm_error *err);

/* Lets the instances of all SCCs point to their plans and names. */
void pmi_library_fill_instances(const pm_split *split, const uint32_t *class_of, pm_library *out);

#endif
