/* winnow doctor: what this machine gives, what is missing, what to do about it */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <microhttpd.h>
#include <sqlite3.h>

#include "api/cli.h"
#include "api/memory_available.h"
#include "api/model_catalog.h"
#include "api/proc_value.h"
#include "api/terminal.h"
#include "base/fs.h"
#include "kernels/cpu_features.h"

static const wn_option options[] = {
    {"verify", WN_OPT_BOOL, "false", 0, 0, NULL, "hash the installed models as well"}, {0}};

typedef struct findings {
    bool json;
    json_t *rows;
    size_t n_bad;
} findings;

typedef enum verdict { FINE, NOTE, BAD } verdict;

static void found(findings *f, verdict v, const char *what, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void found(findings *f, verdict v, const char *what, const char *format, ...)
{
    static const char *const words[] = {"ok", "note", "bad"};
    static const wn_style styles[] = {WN_STYLE_GREEN, WN_STYLE_PLAIN, WN_STYLE_RED};
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    f->n_bad += v == BAD;
    if (f->json) {
        json_array_append_new(f->rows, json_pack("{s:s, s:s, s:s}", "check", what, "verdict",
                                                 words[v], "text", text));
        return;
    }
    wn_out_styled(styles[v], "%-5s", words[v]);
    wn_out("%-12s %s\n", what, text);
}

/* Packed weights ask for huge pages; whether they get them is the kernel's setting. */
static void check_huge_pages(findings *f)
{
    wn_strbuf text = {0};
    const char *path = "/sys/kernel/mm/transparent_hugepage/enabled";
    if (wn_fs_read(&text, path, 256, NULL) != WN_OK)
        found(f, NOTE, "huge pages", "not in this kernel: weights lie on small pages");
    else if (strstr(wn_strbuf_cstr(&text), "[never]"))
        found(f, NOTE, "huge pages", "off: weights lie on small pages (echo madvise > %s)", path);
    else
        found(f, FINE, "huge pages", "on for packed weights");
    wn_strbuf_free(&text);
}

static void check_machine(findings *f, wn_compute *compute)
{
    char cpu[128];
    wn_proc_value("/proc/cpuinfo", "model name", cpu, sizeof cpu);
    const long n_processors = sysconf(_SC_NPROCESSORS_ONLN);
    const size_t n_threads = wn_compute_n_threads(compute);
    found(f, FINE, "machine", "%s, %.1f GiB of memory available", cpu,
          (double)wn_memory_available("") / (1 << 30));
    const bool too_many = n_processors > 0 && n_threads > (size_t)n_processors;
    found(f, too_many ? NOTE : FINE, "threads", "%zu on %ld processors%s, not bound to any",
          n_threads, n_processors, too_many ? " (more than help: --threads N)" : "");
    const wn_cpu_features features = wn_cpu_features_get();
    char sets[128];
    wn_cpu_features_describe(&features, sets, sizeof sets);
    found(f, FINE, "processor", "%s", sets);
    found(f, FINE, "kernels", "%s (%s)", wn_compute_isa(compute), wn_compute_reason(compute));
}

static void check_libraries(findings *f)
{
    found(f, FINE, "libraries", "SQLite %s, libmicrohttpd %s, jansson %s", sqlite3_libversion(),
          MHD_get_version(), jansson_version_str());
    if (!sqlite3_compileoption_used("ENABLE_FTS5"))
        found(f, BAD, "SQLite", "was built without FTS5: keyword search cannot work");
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, 1u);
    if (abi > 0)
        found(f, FINE, "sandbox", "seccomp and Landlock (ABI %ld) confine the document parsers",
              abi);
    else
        found(f, NOTE, "sandbox",
              "this kernel has no Landlock: parsers are confined by seccomp and "
              "resource limits only");
}

static void check_data(findings *f, const char *data_dir)
{
    struct statvfs fs;
    char size[24];
    if (access(data_dir, W_OK) != 0) {
        found(f, BAD, "data folder", "%s cannot be written; choose another: --data-dir DIR",
              data_dir);
        return;
    }
    if (statvfs(data_dir, &fs) == 0) {
        uint64_t room = (uint64_t)fs.f_bavail * fs.f_frsize;
        found(f, room < 2000000000 ? NOTE : FINE, "data folder", "%s, %s free", data_dir,
              wn_format_bytes(room, size));
    }
}

static void check_models(findings *f, const char *data_dir, bool verify)
{
    size_t n_generators = 0;
    for (const wn_catalog_item *i = wn_catalog_items(); i->name; i++) {
        wn_error err = {0};
        bool has = wn_catalog_has(data_dir, i), generator = strcmp(i->role, "generator") == 0;
        n_generators += has && generator;
        if (!has)
            found(f, generator ? NOTE : BAD, i->name, "not here; get it: winnow models get %s",
                  i->name);
        else if (verify && wn_catalog_verify(data_dir, i, &err) != WN_OK)
            found(f, BAD, i->name, "%s", err.text);
        else
            found(f, FINE, i->name, "%s%s", i->note, verify ? "; SHA-256 verified" : "");
    }
    if (n_generators == 0)
        found(f, BAD, "generator", "no model that can answer; get one: winnow models get --small");
}

static wn_status count_corpus(void *ctx, const char *name, wn_error *err)
{
    (void)name, (void)err;
    ++*(size_t *)ctx;
    return WN_OK;
}

static int run(wn_cli *cli, wn_error *err)
{
    if (cli->argc != 0)
        return wn_cli_usage(cli, err, "doctor takes no arguments");
    findings f = {.json = cli->json, .rows = json_array()};
    wn_service *service = NULL;
    if (wn_cli_service(cli, &service, err) != WN_OK) {
        json_decref(f.rows);
        return WN_EXIT_FAILED;
    }
    size_t n_corpora = 0;
    found(&f, FINE, "winnow", "%s", WN_VERSION);
    check_machine(&f, wn_service_compute(service));
    check_huge_pages(&f);
    check_libraries(&f);
    check_data(&f, cli->data_dir);
    check_models(&f, cli->data_dir, wn_options_bool(cli->options, "verify"));
    wn_corpus_set_list(wn_service_corpora_dir(service), count_corpus, &n_corpora, NULL);
    found(&f, FINE, "corpora", "%zu in %s", n_corpora, wn_service_corpora_dir(service));
    if (cli->json)
        wn_cli_print_json(json_pack("{s:b, s:O}", "healthy", f.n_bad == 0, "rows", f.rows));
    json_decref(f.rows);
    return f.n_bad ? WN_EXIT_FAILED : WN_EXIT_OK;
}

const wn_command wn_cli_doctor = {.name = "doctor",
                                  .usage = "winnow doctor [--verify]",
                                  .summary = "say what this machine gives and what is missing",
                                  .help = "Checks the processor and the kernels chosen for it, "
                                          "libraries, the data folder, models and\ncorpora. Exit "
                                          "code 1 when something does not work.\n\nexamples:\n"
                                          "  winnow doctor\n"
                                          "  winnow doctor --verify --json",
                                  .options = options,
                                  .run = run};
