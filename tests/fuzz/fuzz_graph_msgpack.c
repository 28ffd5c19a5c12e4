/* Any bytes are refused or give a graph of valid structure, and such a graph survives being written and read. */

#include "codec/events.h"
#include "graph_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    fuzz_graph(bytes, n);
    pm_memory_source memory = {.bytes = bytes, .size = n};
    fuzz_events(pmi_msgpack_read, &memory);
    return 0;
}
