/* A preload shim that keeps a journal of what a disk has been told to keep.
 *
 * It changes nothing: every call goes through. For files under SHIM_WATCH it appends a line to the file SHIM_JOURNAL
 * after each call that matters, with one raw write, so that the journal outlives kill -9 and never claims a sync that
 * did not finish. `blackbox::disk` reads the journal and makes the directory look as after a power cut.
 *
 *   C ino path          a file was created          S ino length        a file was synced up to length
 *   M path              a directory was created     D path              a directory was synced
 *   R src dst grave     renamed; the file that stood at dst, or -, was kept as grave
 *   U path grave        removed; kept as grave      X path              a directory was removed
 *   T ino length        cut                         V what path         synced bytes were overwritten, or a call we refuse
 *
 * SHIM_GRAVE is a directory on the same file system for the kept files. SHIM_KILL_OPS=n and SHIM_KILL_META=n kill the
 * process with SIGKILL at the n-th place before or after a watched call, or a call that touches a directory.
 * SHIM_SYNC_US=n makes each sync take so much longer, as on a slower disk. SHIM_FAIL_SYNC=n lets the n-th sync of a
 * file, and all later ones, fail with EIO.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define FDS 65536

static const char *watch_dir, *grave_dir;
static size_t watch_len;
static int journal_fd = -1;
static useconds_t sync_us;
static atomic_long ops_left, meta_left, syncs_left, graves;
static atomic_uchar watched[FDS];
static atomic_long synced[FDS];

#define NEXT(ret, name, ...) \
    static ret (*next_##name)(__VA_ARGS__); \
    if (!next_##name) next_##name = (ret (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void) {
    const char *journal = getenv("SHIM_JOURNAL"), *text;
    watch_dir = getenv("SHIM_WATCH");
    grave_dir = getenv("SHIM_GRAVE");
    if (!watch_dir || !journal || !grave_dir) { watch_dir = NULL; return; }
    watch_len = strlen(watch_dir);
    int fd = syscall(SYS_openat, AT_FDCWD, journal, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0) { watch_dir = NULL; return; }
    journal_fd = syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 1000);
    if (journal_fd < 0) journal_fd = fd; else syscall(SYS_close, fd);
    sync_us = (text = getenv("SHIM_SYNC_US")) ? atol(text) : 0;
    atomic_store(&syncs_left, (text = getenv("SHIM_FAIL_SYNC")) ? atol(text) : LONG_MAX);
    atomic_store(&ops_left, (text = getenv("SHIM_KILL_OPS")) ? atol(text) : 0);
    atomic_store(&meta_left, (text = getenv("SHIM_KILL_META")) ? atol(text) : 0);
}

static void note(const char *format, ...) {
    char line[2 * PATH_MAX + 64];
    int before = errno;
    va_list args;
    va_start(args, format);
    int length = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (length > 0) syscall(SYS_write, journal_fd, line, (size_t)length);
    errno = before;
}

/* Counts a place where the process may die; each call has one before it and one after it. */
static void tick(atomic_long *left) {
    if (atomic_load(left) > 0 && atomic_fetch_sub(left, 1) == 1) {
        syscall(SYS_kill, getpid(), SIGKILL);
        for (;;) pause();
    }
}
static void op(void) { tick(&ops_left); }
static void meta(void) { tick(&ops_left); tick(&meta_left); }

/* The absolute path of `path` relative to `dirfd`, in `out`; is it watched? */
static int place(int dirfd, const char *path, char *out) {
    if (!watch_dir || !path) return 0;
    if (path[0] == '/') {
        snprintf(out, PATH_MAX, "%s", path);
    } else {
        char link[64];
        ssize_t n;
        if (dirfd == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
        else snprintf(link, sizeof link, "/proc/self/fd/%d", dirfd);
        n = readlink(link, out, PATH_MAX - 2 - (strlen(path) < PATH_MAX / 2 ? strlen(path) : PATH_MAX / 2));
        if (n < 0) return 0;
        snprintf(out + n, PATH_MAX - n, "/%s", path);
    }
    return !strncmp(out, watch_dir, watch_len) && (out[watch_len] == '/' || !out[watch_len]);
}

static int is_watched(int fd) { return watch_dir && fd >= 0 && fd < FDS && atomic_load(&watched[fd]); }

/* Keeps what stands at `path` under another name, so that its removal can be undone. */
static void bury(const char *path, char *grave) {
    snprintf(grave, PATH_MAX, "%s/%ld.%d", grave_dir, atomic_fetch_add(&graves, 1), (int)getpid());
    if (syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, grave, 0) != 0) strcpy(grave, "-");
}

static void opened(int fd, int flags, int existed, const char *path) {
    struct stat st;
    if (fd >= FDS || fstat(fd, &st) != 0) return;
    atomic_store(&watched[fd], S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
    atomic_store(&synced[fd], 0);
    if (!S_ISREG(st.st_mode)) return;
    if (!existed) note("C\t%lu\t%s\n", (unsigned long)st.st_ino, path);
    else if (flags & O_TRUNC) note("T\t%lu\t0\n", (unsigned long)st.st_ino);
    if (flags & (O_SYNC | O_DSYNC)) note("V\tO_DSYNC\t%s\n", path);
    if (existed) atomic_store(&synced[fd], (long)st.st_size);
}

static int open_at(int dirfd, const char *path, int flags, mode_t mode) {
    char full[PATH_MAX];
    struct stat st;
    NEXT(int, openat64, int, const char *, int, ...);
    if (!place(dirfd, path, full)) {
        int fd = next_openat64(dirfd, path, flags, mode);
        if (watch_dir && fd >= 0 && fd < FDS) atomic_store(&watched[fd], 0);
        return fd;
    }
    int existed = !(flags & O_CREAT) || lstat(full, &st) == 0;
    if (!existed) meta();
    int fd = next_openat64(dirfd, path, flags, mode);
    int before = errno;
    if (fd >= 0) opened(fd, flags, existed, full);
    if (!existed) meta();
    errno = before;
    return fd;
}

#define MODE(flags, last) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { va_list a; va_start(a, last); mode = va_arg(a, mode_t); va_end(a); }

int open(const char *path, int flags, ...) { MODE(flags, flags) return open_at(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags, flags) return open_at(AT_FDCWD, path, flags, mode); }
int openat(int dir, const char *path, int flags, ...) { MODE(flags, flags) return open_at(dir, path, flags, mode); }
int openat64(int dir, const char *path, int flags, ...) { MODE(flags, flags) return open_at(dir, path, flags, mode); }
int creat(const char *path, mode_t mode) { return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

int close(int fd) {
    NEXT(int, close, int);
    if (fd == journal_fd && watch_dir) return 0;
    if (fd >= 0 && fd < FDS) atomic_store(&watched[fd], 0);
    return next_close(fd);
}

/* A write below the synced length changes what a power cut could tear: nobody may do that. */
static void about_to_write(int fd, off_t at) {
    if (!is_watched(fd)) return;
    op();
    if (at < 0) {
        if (fcntl(fd, F_GETFL) & O_APPEND) return;
        at = lseek(fd, 0, SEEK_CUR);
    }
    if (at >= 0 && at < atomic_load(&synced[fd])) {
        char link[64], path[PATH_MAX];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, path, sizeof path - 1);
        path[n < 0 ? 0 : n] = 0;
        note("V\toverwrite at %ld of %ld\t%s\n", (long)at, (long)atomic_load(&synced[fd]), path);
    }
}
static void wrote(int fd) { if (is_watched(fd)) op(); }

#define WRITE(ret, name, at, args, names, ...) \
    ret name args { \
        NEXT(ret, name, __VA_ARGS__); \
        about_to_write(fd, at); \
        ret result = next_##name names; \
        int before = errno; \
        wrote(fd); \
        errno = before; \
        return result; \
    }
WRITE(ssize_t, write, -1, (int fd, const void *data, size_t n), (fd, data, n), int, const void *, size_t)
WRITE(ssize_t, writev, -1, (int fd, const struct iovec *v, int n), (fd, v, n), int, const struct iovec *, int)
WRITE(ssize_t, pwrite, at, (int fd, const void *data, size_t n, off_t at), (fd, data, n, at), int, const void *, size_t, off_t)
WRITE(ssize_t, pwrite64, at, (int fd, const void *data, size_t n, off64_t at), (fd, data, n, at), int, const void *, size_t, off64_t)
WRITE(ssize_t, pwritev, at, (int fd, const struct iovec *v, int n, off_t at), (fd, v, n, at), int, const struct iovec *, int, off_t)
WRITE(ssize_t, pwritev64, at, (int fd, const struct iovec *v, int n, off64_t at), (fd, v, n, at), int, const struct iovec *, int, off64_t)

/* The length is taken before the sync: what others append meanwhile is not promised. */
static int sync_with(int fd, int (*next)(int)) {
    struct stat st;
    if (!is_watched(fd) || fstat(fd, &st) != 0) return next(fd);
    if (S_ISDIR(st.st_mode)) meta(); else op();
    if (S_ISREG(st.st_mode) && atomic_fetch_sub(&syncs_left, 1) <= 1) return errno = EIO, -1;
    int result = next(fd);
    int before = errno;
    if (sync_us) usleep(sync_us);
    if (result == 0 && S_ISDIR(st.st_mode)) {
        char link[64], path[PATH_MAX];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, path, sizeof path - 1);
        path[n < 0 ? 0 : n] = 0;
        note("D\t%s\n", path);
        meta();
    } else if (result == 0) {
        note("S\t%lu\t%ld\n", (unsigned long)st.st_ino, (long)st.st_size);
        if (atomic_load(&synced[fd]) < (long)st.st_size) atomic_store(&synced[fd], (long)st.st_size);
        op();
    }
    errno = before;
    return result;
}
int fsync(int fd) { NEXT(int, fsync, int); return sync_with(fd, next_fsync); }
int fdatasync(int fd) { NEXT(int, fdatasync, int); return sync_with(fd, next_fdatasync); }

static int cut(int fd, off64_t length, int (*next)(int, off64_t)) {
    struct stat st;
    if (is_watched(fd)) op();
    int result = next(fd, length);
    if (result == 0 && is_watched(fd) && fstat(fd, &st) == 0) {
        note("T\t%lu\t%ld\n", (unsigned long)st.st_ino, (long)length);
        if (atomic_load(&synced[fd]) > (long)length) atomic_store(&synced[fd], (long)length);
    }
    return result;
}
int ftruncate(int fd, off_t length) { NEXT(int, ftruncate, int, off64_t); return cut(fd, length, next_ftruncate); }
int ftruncate64(int fd, off64_t length) { NEXT(int, ftruncate64, int, off64_t); return cut(fd, length, next_ftruncate64); }

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
    char src[PATH_MAX], dst[PATH_MAX], grave[PATH_MAX];
    NEXT(int, renameat2, int, const char *, int, const char *, unsigned);
    int ours = place(from_dir, from, src);
    ours = place(to_dir, to, dst) && ours;
    if (!ours) return next_renameat2(from_dir, from, to_dir, to, flags);
    meta();
    bury(dst, grave);
    int result = next_renameat2(from_dir, from, to_dir, to, flags);
    int before = errno;
    if (result == 0) note("R\t%s\t%s\t%s\n", src, dst, grave);
    meta();
    errno = before;
    return result;
}
int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int fd, const char *from, int td, const char *to) { return renameat2(fd, from, td, to, 0); }

int unlinkat(int dir, const char *path, int flags) {
    char full[PATH_MAX], grave[PATH_MAX] = "-";
    NEXT(int, unlinkat, int, const char *, int);
    if (!place(dir, path, full)) return next_unlinkat(dir, path, flags);
    meta();
    if (!(flags & AT_REMOVEDIR)) bury(full, grave);
    int result = next_unlinkat(dir, path, flags);
    int before = errno;
    if (result == 0 && (flags & AT_REMOVEDIR)) note("X\t%s\n", full);
    else if (result == 0) note("U\t%s\t%s\n", full, grave);
    meta();
    errno = before;
    return result;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdirat(int dir, const char *path, mode_t mode) {
    char full[PATH_MAX];
    NEXT(int, mkdirat, int, const char *, mode_t);
    if (!place(dir, path, full)) return next_mkdirat(dir, path, mode);
    meta();
    int result = next_mkdirat(dir, path, mode);
    int before = errno;
    if (result == 0) note("M\t%s\n", full);
    errno = before;
    return result;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags) {
    char full[PATH_MAX];
    struct stat st;
    NEXT(int, linkat, int, const char *, int, const char *, int);
    int result = next_linkat(from_dir, from, to_dir, to, flags);
    if (result == 0 && place(to_dir, to, full) && lstat(full, &st) == 0)
        note("C\t%lu\t%s\n", (unsigned long)st.st_ino, full);
    return result;
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

/* Ways round the journal. The data directory's law forbids them, so a use is recorded and fails the test. */
int posix_fallocate64(int fd, off64_t at, off64_t n) {
    NEXT(int, posix_fallocate64, int, off64_t, off64_t);
    if (is_watched(fd)) note("V\tposix_fallocate\tfd %d\n", fd);
    return next_posix_fallocate64(fd, at, n);
}
int fallocate64(int fd, int how, off64_t at, off64_t n) {
    NEXT(int, fallocate64, int, int, off64_t, off64_t);
    if (is_watched(fd)) note("V\tfallocate\tfd %d\n", fd);
    return next_fallocate64(fd, how, at, n);
}
void *mmap64(void *want, size_t n, int prot, int flags, int fd, off64_t at) {
    NEXT(void *, mmap64, void *, size_t, int, int, int, off64_t);
    if (is_watched(fd) && (prot & PROT_WRITE) && (flags & MAP_SHARED)) note("V\tmmap\tfd %d\n", fd);
    return next_mmap64(want, n, prot, flags, fd, at);
}
