#include "store/lmdb_check.h"

#include <fcntl.h>
#include <inttypes.h>

#include "base/mem.h"
#include "store/lmdb_format.h"

#define MAX_DEPTH 32
#define MAX_KEY 511
#define READ_AHEAD 64 /* heads of overflow pages */

/* One page of the path from the root to where the walk stands. */
typedef struct level {
    uint8_t *page;
    size_t nodes, next; /* next: the child to visit */
} level;

/* A value in overflow pages, whose heads are read after the walk, in the order of the file. */
typedef struct overflow {
    uint64_t first;
    size_t size;
} overflow;

typedef struct walk {
    int fd;
    const pm_lmdb_snapshot *snapshot;
    uint64_t file_pages;
    size_t page_size;
    uint8_t *seen;    /* a bit for each page up to the last */
    uint8_t *covered; /* a byte for each two bytes of a page */
    uint8_t *chunk;   /* a page, for lists of free pages */
    level path[MAX_DEPTH];

    /* of the tree being walked */
    bool is_free_tree;
    size_t key_size;
    pm_lmdb_tree found;
    uint8_t bound[MAX_KEY]; /* the next key must be larger, or equal too where bound_allowed */
    bool has_bound, bound_allowed;
    uint64_t free_behind_end; /* free pages that the file does not reach */

    overflow *values; /* of the main tree */
    size_t n_values, values_capacity;
} walk;

static const char *tree_name(const walk *w) {
    return w->is_free_tree ? "tree of free pages" : "main tree";
}

static pm_status damaged_page(const walk *w, uint64_t page, const char *what, pm_error *err) {
    return pm_fail(err, PM_EDATA, "page %" PRIu64 " of the %s: %s", page, tree_name(w), what);
}

/* Takes `count` pages for one use; each must exist and not be in use yet. */
static pm_status take_pages(walk *w, uint64_t first, uint64_t count, pm_error *err) {
    uint64_t end = w->snapshot->last_page + 1;
    if (first < 2 || first >= end || count > end - first) {
        return damaged_page(w, first, "its number is out of range", err);
    }
    for (uint64_t page = first; page < first + count; page++) {
        uint8_t bit = (uint8_t)(1u << (page & 7));
        if (w->seen[page >> 3] & bit) {
            return damaged_page(w, page, "it is used twice", err);
        }
        w->seen[page >> 3] |= bit;
    }
    return PM_OK;
}

static pm_status in_file(const walk *w, uint64_t first, uint64_t count, pm_error *err) {
    if (first + count > w->file_pages) {
        return damaged_page(w, first, "the file ends before it does", err);
    }
    return PM_OK;
}

/* ---- nodes ---- */

/* Bytes of the node at `offset`, which holds at least its head. */
static size_t node_bytes(const uint8_t *node, bool leaf) {
    size_t size = PM_LMDB_NODE_HEAD + (size_t)pm_lmdb_u16(node + 6);
    if (leaf) {
        size += pm_lmdb_u16(node + 4) == PM_LMDB_BIG ? 8 : pm_lmdb_u32(node);
    }
    return size;
}

static const uint8_t *node_at(const level *l, size_t i) {
    return l->page + pm_lmdb_u16(l->page + PM_LMDB_PAGE_HEAD + 2 * i);
}

/* Nodes start at even offsets, fill the page from `upper` to its end without a gap, and do not overlap: LMDB moves them
 * about by their sizes. */
static pm_status check_node(walk *w, const level *l, size_t i, size_t upper, bool leaf, size_t *filled,
                            const char **what) {
    size_t offset = pm_lmdb_u16(l->page + PM_LMDB_PAGE_HEAD + 2 * i);
    *what = "a node lies outside of it";
    if (offset < upper || (offset & 1) != 0 || offset + PM_LMDB_NODE_HEAD > w->page_size) {
        return PM_EDATA;
    }
    const uint8_t *node = l->page + offset;
    size_t size = node_bytes(node, leaf);
    size_t even = size + (size & 1);
    if (even > w->page_size - offset) {
        return PM_EDATA;
    }
    for (size_t at = offset / 2; at < (offset + even) / 2; at++) {
        if (w->covered[at]) {
            *what = "two nodes overlap";
            return PM_EDATA;
        }
        w->covered[at] = 1;
    }
    *filled += even;
    size_t key = pm_lmdb_u16(node + 6);
    *what = "a key has the wrong size";
    if (key != w->key_size && (leaf || i > 0 || key != 0)) {
        return PM_EDATA;
    }
    *what = "a node has unknown flags";
    return !leaf || pm_lmdb_u16(node + 4) <= PM_LMDB_BIG ? PM_OK : PM_EDATA;
}

static pm_status check_nodes(walk *w, const level *l, uint64_t number, bool leaf, pm_error *err) {
    size_t upper = pm_lmdb_u16(l->page + 14), filled = 0;
    memset(w->covered, 0, w->page_size / 2);
    for (size_t i = 0; i < l->nodes; i++) {
        const char *what;
        if (check_node(w, l, i, upper, leaf, &filled, &what) != PM_OK) {
            return damaged_page(w, number, what, err);
        }
    }
    if (filled != w->page_size - upper) {
        return damaged_page(w, number, "its nodes do not fill it", err);
    }
    return PM_OK;
}

/* Reads a branch or leaf page into the path and checks everything in it but the order of keys. */
static pm_status enter_page(walk *w, size_t depth, uint64_t number, bool leaf, pm_error *err) {
    level *l = &w->path[depth];
    if (l->page == NULL && (l->page = pm_malloc(1, w->page_size)) == NULL) {
        return pm_fail_memory(err, "checking the cache file", w->page_size);
    }
    pm_status st = take_pages(w, number, 1, err);
    if (st == PM_OK) {
        st = in_file(w, number, 1, err);
    }
    if (st == PM_OK) {
        st = pm_lmdb_pread(w->fd, number * w->page_size, l->page, w->page_size, err);
    }
    if (st != PM_OK) {
        return st;
    }
    if (pm_lmdb_u64(l->page) != number || pm_lmdb_u16(l->page + 10) != (leaf ? PM_LMDB_LEAF : PM_LMDB_BRANCH)) {
        return damaged_page(w, number, "its number or kind is wrong", err);
    }
    size_t lower = pm_lmdb_u16(l->page + 12), upper = pm_lmdb_u16(l->page + 14);
    /* LMDB itself stops at a branch of fewer than two children */
    size_t least = PM_LMDB_PAGE_HEAD + (leaf ? 2 : 4);
    if (lower < least || (lower & 1) != 0 || lower > upper || upper > w->page_size) {
        return damaged_page(w, number, "its free space is out of range", err);
    }
    l->nodes = (lower - PM_LMDB_PAGE_HEAD) / 2;
    l->next = 0;
    *(leaf ? &w->found.leaf_pages : &w->found.branch_pages) += 1;
    return check_nodes(w, l, number, leaf, err);
}

/* ---- order of keys ---- */

static int compare_keys(const walk *w, const uint8_t *a, const uint8_t *b) {
    if (!w->is_free_tree) {
        return memcmp(a, b, w->key_size);
    }
    uint64_t x = pm_lmdb_u64(a), y = pm_lmdb_u64(b);
    return (x > y) - (x < y);
}

/* `key` comes next in the order; a separator is a bound that the next key may equal. */
static bool key_in_order(walk *w, const uint8_t *key, bool separator) {
    if (w->has_bound) {
        int order = compare_keys(w, key, w->bound);
        if (order < 0 || (order == 0 && !w->bound_allowed)) {
            return false;
        }
    }
    memcpy(w->bound, key, w->key_size);
    w->has_bound = true;
    w->bound_allowed = separator;
    return true;
}

/* ---- values ---- */

/* Takes the run of overflow pages of a value of `size` bytes. */
static pm_status check_overflow(walk *w, uint64_t first, size_t size, pm_error *err) {
    uint8_t head[PM_LMDB_PAGE_HEAD];
    if (first < 2 || first >= w->file_pages) {
        return damaged_page(w, first, "a value's page number is out of range", err);
    }
    pm_status st = pm_lmdb_pread(w->fd, first * w->page_size, head, sizeof head, err);
    if (st != PM_OK) {
        return st;
    }
    uint64_t pages = pm_lmdb_u32(head + 12);
    if (pm_lmdb_u64(head) != first || pm_lmdb_u16(head + 10) != PM_LMDB_OVERFLOW ||
        pages * w->page_size < PM_LMDB_PAGE_HEAD + size) {
        return damaged_page(w, first, "it does not hold the value it should", err);
    }
    w->found.overflow_pages += pages;
    st = take_pages(w, first, pages, err);
    return st == PM_OK ? in_file(w, first, pages, err) : st;
}

static pm_status note_overflow(walk *w, uint64_t first, size_t size, pm_error *err) {
    if (!pm_reserve((void **)&w->values, &w->values_capacity, w->n_values + 1, sizeof *w->values)) {
        return pm_fail_memory(err, "checking the cache file", (w->n_values + 1) * sizeof *w->values);
    }
    w->values[w->n_values++] = (overflow){first, size};
    return PM_OK;
}

static int by_page(const void *a, const void *b) {
    const overflow *x = a, *y = b;
    return (x->first > y->first) - (x->first < y->first);
}

/* The heads lie far apart: asking for many ahead lets a disk that is not in memory yet work on all of them at once. */
static pm_status check_values(walk *w, pm_error *err) {
    pm_status st = PM_OK;
    if (w->n_values > 0) {
        qsort(w->values, w->n_values, sizeof *w->values, by_page);
    }
    for (size_t i = 0, asked = 0; i < w->n_values && st == PM_OK; i++) {
        for (; asked < w->n_values && asked < i + READ_AHEAD; asked++) {
            if (w->values[asked].first < w->file_pages) {
                off_t at = (off_t)(w->values[asked].first * w->page_size);
                (void)posix_fadvise(w->fd, at, PM_LMDB_PAGE_HEAD, POSIX_FADV_WILLNEED);
            }
        }
        st = check_overflow(w, w->values[i].first, w->values[i].size, err);
    }
    return st;
}

/* Page numbers descend; those behind the end of the file are counted. */
static pm_status take_free_pages(walk *w, const uint8_t *numbers, size_t n, uint64_t *previous, pm_error *err) {
    for (size_t i = 0; i < n; i++) {
        uint64_t page = pm_lmdb_u64(numbers + 8 * i);
        if (page >= *previous) {
            return damaged_page(w, page, "the list of free pages is not in order", err);
        }
        *previous = page;
        w->free_behind_end += page >= w->file_pages;
        pm_status st = take_pages(w, page, 1, err);
        if (st != PM_OK) {
            return st;
        }
    }
    return PM_OK;
}

/* A list of free pages that starts at byte `at` of the file: its length, then the numbers. */
static pm_status check_free_list(walk *w, uint64_t at, size_t size, pm_error *err) {
    uint64_t previous = UINT64_MAX;
    pm_status st = PM_OK;
    if (size < 8 || size % 8 != 0) {
        return pm_fail(err, PM_EDATA, "a list of free pages has %zu bytes", size);
    }
    st = pm_lmdb_pread(w->fd, at, w->chunk, 8, err);
    uint64_t left = st == PM_OK ? pm_lmdb_u64(w->chunk) : 0;
    if (left > size / 8 - 1) {
        return pm_fail(err, PM_EDATA, "a list of %" PRIu64 " free pages in %zu bytes", left, size);
    }
    for (at += 8; st == PM_OK && left > 0;) {
        size_t n = left < w->page_size / 8 ? (size_t)left : w->page_size / 8;
        st = pm_lmdb_pread(w->fd, at, w->chunk, 8 * n, err);
        if (st == PM_OK) {
            st = take_free_pages(w, w->chunk, n, &previous, err);
        }
        at += 8 * n;
        left -= n;
    }
    return st;
}

static pm_status check_value(walk *w, const level *l, uint64_t number, const uint8_t *node, pm_error *err) {
    size_t size = pm_lmdb_u32(node);
    const uint8_t *key = node + PM_LMDB_NODE_HEAD, *data = key + w->key_size;
    uint64_t at = number * w->page_size + (uint64_t)(data - l->page);
    bool big = pm_lmdb_u16(node + 4) == PM_LMDB_BIG;
    if (big && !w->is_free_tree) {
        return note_overflow(w, pm_lmdb_u64(data), size, err);
    }
    if (w->is_free_tree && (pm_lmdb_u64(key) < 1 || pm_lmdb_u64(key) > w->snapshot->txnid)) {
        return damaged_page(w, number, "pages were freed by a commit that never was", err);
    }
    if (big) {
        uint64_t first = pm_lmdb_u64(data);
        pm_status st = check_overflow(w, first, size, err);
        if (st != PM_OK) {
            return st;
        }
        at = first * w->page_size + PM_LMDB_PAGE_HEAD;
    }
    return w->is_free_tree ? check_free_list(w, at, size, err) : PM_OK;
}

/* ---- the walk ---- */

static pm_status visit_leaf(walk *w, const level *l, pm_error *err) {
    uint64_t number = pm_lmdb_u64(l->page);
    for (size_t i = 0; i < l->nodes; i++) {
        const uint8_t *node = node_at(l, i);
        if (!key_in_order(w, node + PM_LMDB_NODE_HEAD, false)) {
            return damaged_page(w, number, "its keys are not in order", err);
        }
        pm_status st = check_value(w, l, number, node, err);
        if (st != PM_OK) {
            return st;
        }
        w->found.entries++;
    }
    return PM_OK;
}

/* Steps into the next child of a branch. */
static pm_status visit_branch(walk *w, size_t depth, size_t leaf_depth, pm_error *err) {
    level *l = &w->path[depth];
    const uint8_t *node = node_at(l, l->next);
    if (l->next > 0 && !key_in_order(w, node + PM_LMDB_NODE_HEAD, true)) {
        return damaged_page(w, pm_lmdb_u64(l->page), "its keys are not in order", err);
    }
    l->next++;
    uint64_t child = pm_lmdb_u32(node) | (uint64_t)pm_lmdb_u16(node + 4) << 32;
    return enter_page(w, depth + 1, child, depth + 1 == leaf_depth, err);
}

static pm_status visit_all(walk *w, const pm_lmdb_tree *tree, pm_error *err) {
    size_t leaf_depth = tree->depth - 1u, depth = 0;
    pm_status st = enter_page(w, 0, tree->root, leaf_depth == 0, err);
    while (st == PM_OK) {
        level *l = &w->path[depth];
        if (depth < leaf_depth && l->next < l->nodes) {
            st = visit_branch(w, depth, leaf_depth, err);
            depth++;
            continue;
        }
        if (depth == leaf_depth) {
            st = visit_leaf(w, l, err);
        }
        if (depth == 0) {
            break;
        }
        depth--;
    }
    return st;
}

static pm_status check_tree(walk *w, const pm_lmdb_tree *tree, bool is_free_tree, size_t key_size, pm_error *err) {
    w->is_free_tree = is_free_tree;
    w->key_size = key_size;
    w->has_bound = false;
    w->found = (pm_lmdb_tree){.depth = tree->depth, .root = tree->root};
    pm_status st = PM_OK;
    if (tree->depth > MAX_DEPTH || (tree->depth == 0) != (tree->root == PM_LMDB_NO_PAGE)) {
        st = pm_fail(err, PM_EDATA, "the %s has depth %u and root %" PRIu64, tree_name(w), tree->depth, tree->root);
    } else if (tree->depth > 0) {
        st = visit_all(w, tree, err);
    }
    if (st == PM_OK && !is_free_tree) {
        st = check_values(w, err);
    }
    const pm_lmdb_tree *f = &w->found;
    if (st == PM_OK && (f->branch_pages != tree->branch_pages || f->leaf_pages != tree->leaf_pages ||
                        f->overflow_pages != tree->overflow_pages || f->entries != tree->entries)) {
        st = pm_fail(err, PM_EDATA,
                     "the %s says it has %" PRIu64 " entries in %" PRIu64 " + %" PRIu64 " + %" PRIu64
                     " pages, found %" PRIu64 " in %" PRIu64 " + %" PRIu64 " + %" PRIu64,
                     tree_name(w), tree->entries, tree->branch_pages, tree->leaf_pages, tree->overflow_pages,
                     f->entries, f->branch_pages, f->leaf_pages, f->overflow_pages);
    }
    return st;
}

/* What lies behind the end of the file was never written, and must be free. */
static pm_status check_end(const walk *w, pm_error *err) {
    uint64_t pages = w->snapshot->last_page + 1;
    uint64_t behind = pages > w->file_pages ? pages - w->file_pages : 0;
    if (behind != w->free_behind_end) {
        return pm_fail(err, PM_EDATA,
                       "the last page is %" PRIu64 ", the file has %" PRIu64 " pages, and %" PRIu64
                       " behind its end are free",
                       w->snapshot->last_page, w->file_pages, w->free_behind_end);
    }
    return PM_OK;
}

pm_status pm_lmdb_check(int fd, const pm_lmdb_snapshot *snapshot, size_t key_size, pm_error *err) {
    walk w = {.fd = fd, .snapshot = snapshot, .page_size = snapshot->page_size};
    if (key_size == 0 || key_size > MAX_KEY) {
        return pm_fail(err, PM_ESOFTWARE, "keys of %zu bytes", key_size);
    }
    w.file_pages = snapshot->file_bytes / snapshot->page_size;
    w.seen = pm_calloc(snapshot->last_page / 8 + 1, 1);
    w.covered = pm_malloc(w.page_size / 2, 1);
    w.chunk = pm_malloc(w.page_size, 1);
    pm_status st = PM_OK;
    if (w.seen == NULL || w.covered == NULL || w.chunk == NULL) {
        st = pm_fail_memory(err, "checking the cache file", snapshot->last_page / 8 + 2 * w.page_size);
    }
    if (st == PM_OK) {
        st = check_tree(&w, &snapshot->main, false, key_size, err);
    }
    if (st == PM_OK) {
        st = check_tree(&w, &snapshot->free, true, sizeof(uint64_t), err);
    }
    if (st == PM_OK) {
        st = check_end(&w, err);
    }
    for (size_t depth = 0; depth < MAX_DEPTH; depth++) {
        free(w.path[depth].page);
    }
    free(w.seen);
    free(w.covered);
    free(w.values);
    free(w.chunk);
    return st;
}
