#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/lmdb_check.h"
#include "store/lmdb_format.h"

#define LEAST_PAGE 4096u
#define LARGEST_PAGE 32768u

pm_status pm_lmdb_pread(int fd, uint64_t offset, uint8_t *bytes, size_t n, pm_error *err) {
    size_t done = 0;
    while (done < n) {
        ssize_t got = pread(fd, bytes + done, n - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return pm_fail(err, PM_EIO, "reading the cache file at byte %" PRIu64 ": %s", offset + done,
                           strerror(errno));
        }
        if (got == 0) {
            return pm_fail(err, PM_EDATA, "the file ends at byte %" PRIu64 ", expected %zu more", offset + done,
                           n - done);
        }
        done += (size_t)got;
    }
    return PM_OK;
}

static pm_lmdb_tree read_tree(const uint8_t *p) {
    return (pm_lmdb_tree){
        .depth = pm_lmdb_u16(p + 6),
        .branch_pages = pm_lmdb_u64(p + 8),
        .leaf_pages = pm_lmdb_u64(p + 16),
        .overflow_pages = pm_lmdb_u64(p + 24),
        .entries = pm_lmdb_u64(p + 32),
        .root = pm_lmdb_u64(p + 40),
    };
}

/* Meta page `number` (0 or 1); the page size, not known before the first, is checked by the caller. */
static pm_status read_meta(int fd, unsigned number, uint64_t offset, pm_lmdb_snapshot *out, pm_error *err) {
    uint8_t page[PM_LMDB_PAGE_HEAD + PM_LMDB_META_BYTES];
    pm_status st = pm_lmdb_pread(fd, offset, page, sizeof page, err);
    if (st != PM_OK) {
        return st;
    }
    const uint8_t *meta = page + PM_LMDB_PAGE_HEAD;
    const uint8_t *free = meta + PM_LMDB_META_FREE, *main = meta + PM_LMDB_META_MAIN;
    bool sound = pm_lmdb_u64(page) == number && pm_lmdb_u16(page + 10) == PM_LMDB_META &&
                 pm_lmdb_u32(meta) == PM_LMDB_MAGIC && pm_lmdb_u32(meta + 4) == PM_LMDB_VERSION &&
                 pm_lmdb_u16(free + 4) == PM_LMDB_INTEGER_KEYS && pm_lmdb_u16(main + 4) == 0;
    if (!sound) {
        return pm_fail(err, PM_EDATA, "meta page %u is not one of an LMDB 0.9 file of traces", number);
    }
    out->page_size = pm_lmdb_u32(free);
    out->free = read_tree(free);
    out->main = read_tree(main);
    out->last_page = pm_lmdb_u64(meta + PM_LMDB_META_LAST);
    out->txnid = pm_lmdb_u64(meta + PM_LMDB_META_TXNID);
    return PM_OK;
}

/* A free page that was never written may lie behind the end of the file, and its number takes eight bytes of the file:
 * that bounds the last page. */
static pm_status check_last_page(const pm_lmdb_snapshot *s, pm_error *err) {
    uint64_t most = s->file_bytes / s->page_size + s->file_bytes / 8;
    if (s->last_page < 1 || s->last_page >= most) {
        return pm_fail(err, PM_EDATA,
                       "last page %" PRIu64 ": expected from 1 to below %" PRIu64 " in a file of %" PRIu64 " bytes",
                       s->last_page, most, s->file_bytes);
    }
    return PM_OK;
}

pm_status pm_lmdb_snapshot_read(int fd, pm_lmdb_snapshot *out, pm_error *err) {
    struct stat info;
    if (fstat(fd, &info) != 0) {
        return pm_fail(err, PM_EIO, "fstat of the cache file: %s", strerror(errno));
    }
    pm_lmdb_snapshot meta[2] = {0};
    pm_status st = read_meta(fd, 0, 0, &meta[0], err);
    if (st != PM_OK) {
        return st;
    }
    uint32_t size = meta[0].page_size;
    if (size < LEAST_PAGE || size > LARGEST_PAGE || (size & (size - 1)) != 0) {
        return pm_fail(err, PM_EDATA, "page size: expected a power of two from %u to %u, found %" PRIu32, LEAST_PAGE,
                       LARGEST_PAGE, size);
    }
    st = read_meta(fd, 1, size, &meta[1], err);
    if (st != PM_OK) {
        return st;
    }
    if (meta[1].page_size != size) {
        return pm_fail(err, PM_EDATA, "page size: %" PRIu32 " and %" PRIu32 " in the two meta pages", size,
                       meta[1].page_size);
    }
    /* LMDB takes the larger txnid, and writes commit t to meta page t mod 2; both are 0 in a new file */
    unsigned newest = meta[0].txnid < meta[1].txnid;
    if ((meta[newest].txnid & 1) != newest || meta[newest].txnid > UINT64_MAX / 2 ||
        (meta[0].txnid == meta[1].txnid && meta[0].txnid != 0)) {
        return pm_fail(err, PM_EDATA, "meta pages have commits %" PRIu64 " and %" PRIu64 ", which cannot be",
                       meta[0].txnid, meta[1].txnid);
    }
    *out = meta[newest];
    out->file_bytes = (uint64_t)info.st_size;
    return check_last_page(out, err);
}
