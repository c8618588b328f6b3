/* A clock that jumps: what CLOCK_REALTIME says plus the nanoseconds in the file HAL_CLOCK. Preloaded by clock.rs. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static int (*true_clock)(clockid_t, struct timespec *);
static volatile int64_t *offset;

__attribute__((constructor)) static void begin(void) {
    true_clock = dlsym(RTLD_NEXT, "clock_gettime");
    const char *path = getenv("HAL_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *place = mmap(0, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
    if (place != MAP_FAILED) offset = place;
    close(file);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    if (!true_clock) true_clock = dlsym(RTLD_NEXT, "clock_gettime");
    int answer = true_clock(clock, now);
    if (answer == 0 && clock == CLOCK_REALTIME && offset) {
        int64_t sum = now->tv_nsec + *offset % 1000000000;
        now->tv_sec += *offset / 1000000000 + (sum < 0 ? -1 : sum >= 1000000000 ? 1 : 0);
        now->tv_nsec = sum < 0 ? sum + 1000000000 : sum % 1000000000;
    }
    return answer;
}
