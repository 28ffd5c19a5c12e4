/* Offsets and numbers of LMDB's pages, as its 0.9 releases write them on 64-bit little-endian machines. */
#ifndef PM_STORE_LMDB_FORMAT_H
#define PM_STORE_LMDB_FORMAT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/error.h"

_Static_assert(sizeof(size_t) == 8 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "LMDB's pages are in native order");

/* page: number u64, pad u16, flags u16, then lower u16 and upper u16, or the length u32 of an overflow run */
#define PM_LMDB_PAGE_HEAD 16u
#define PM_LMDB_BRANCH 1u
#define PM_LMDB_LEAF 2u
#define PM_LMDB_OVERFLOW 4u
#define PM_LMDB_META 8u

/* node: u16 low, u16 high, u16 flags, u16 key bytes, key, data. Leaf: low and high are the data's bytes, and with
 * PM_LMDB_BIG the data is the number of an overflow page. Branch: the child's page number is low, high, flags. */
#define PM_LMDB_NODE_HEAD 8u
#define PM_LMDB_BIG 1u

/* meta, behind the page's head: magic u32, version u32, address u64, map size u64, two trees, last page u64, txnid u64
 */
#define PM_LMDB_MAGIC 0xBEEFC0DEu
#define PM_LMDB_VERSION 1u
#define PM_LMDB_META_BYTES 136u
#define PM_LMDB_META_FREE 24u
#define PM_LMDB_META_MAIN 72u
#define PM_LMDB_META_LAST 120u
#define PM_LMDB_META_TXNID 128u
#define PM_LMDB_INTEGER_KEYS 8u /* flags of the tree of free pages */
#define PM_LMDB_NO_PAGE UINT64_MAX

static inline uint16_t pm_lmdb_u16(const uint8_t *p) {
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint32_t pm_lmdb_u32(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t pm_lmdb_u64(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* Reads exactly n bytes at `offset`. Errors: PM_EDATA when the file ends before, PM_EIO. */
pm_status pm_lmdb_pread(int fd, uint64_t offset, uint8_t *bytes, size_t n, pm_error *err);

#endif
