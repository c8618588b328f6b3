/* A file system without leases: F_SETLEASE fails as it does on NFS and 9p. Preloaded by lease.rs. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>

static int pass(const char *name, int fd, int command, void *argument) {
    if (command == F_SETLEASE) {
        errno = EINVAL;
        return -1;
    }
    int (*real)(int, int, ...) = dlsym(RTLD_NEXT, name);
    return real(fd, command, argument);
}

#define SHIM(name)                                \
    int name(int fd, int command, ...) {          \
        va_list rest;                             \
        va_start(rest, command);                  \
        void *argument = va_arg(rest, void *);    \
        va_end(rest);                             \
        return pass(#name, fd, command, argument); \
    }

SHIM(fcntl)
SHIM(fcntl64)
