#include "base/float_env.h"

#if defined(__x86_64__)

#include <immintrin.h>

/* MXCSR; the x87 unit is not used. */
#define DEFAULT_CONTROL 0x1f80U
#define ALL_FLAGS 0x3fU
#define RANGE_FLAGS 0x1dU /* invalid, division by zero, overflow, underflow */

pm_float_env pmi_float_enter(void) {
    pm_float_env before = {.control = _mm_getcsr()};
    _mm_setcsr(DEFAULT_CONTROL);
    return before;
}

void pmi_float_leave(pm_float_env before) {
    _mm_setcsr((unsigned)before.control);
}

void pmi_float_clear(void) {
    _mm_setcsr(_mm_getcsr() & ~ALL_FLAGS);
}

bool pmi_float_raised(void) {
    return (_mm_getcsr() & RANGE_FLAGS) != 0;
}

#else

/* FPCR and FPSR of arm64. */
#define RANGE_FLAGS 0xfU /* invalid, division by zero, overflow, underflow */

static uint64_t control(void) {
    uint64_t value;
    __asm__ volatile("mrs %0, fpcr" : "=r"(value) : : "memory");
    return value;
}

static uint64_t status(void) {
    uint64_t value;
    __asm__ volatile("mrs %0, fpsr" : "=r"(value) : : "memory");
    return value;
}

static void set_control(uint64_t value) {
    __asm__ volatile("msr fpcr, %0" : : "r"(value) : "memory");
}

static void set_status(uint64_t value) {
    __asm__ volatile("msr fpsr, %0" : : "r"(value) : "memory");
}

pm_float_env pmi_float_enter(void) {
    pm_float_env before = {.control = control(), .status = status()};
    set_control(0);
    set_status(0);
    return before;
}

void pmi_float_leave(pm_float_env before) {
    set_control(before.control);
    set_status(before.status);
}

void pmi_float_clear(void) {
    set_status(0);
}

bool pmi_float_raised(void) {
    return (status() & RANGE_FLAGS) != 0;
}

#endif
