/* winnow models {list,get,add,verify} */
#include <stdlib.h>
#include <string.h>

#include "api/cli.h"
#include "api/model_catalog.h"
#include "api/terminal.h"
#include "base/fs.h"

static const wn_option options[] = {
    {"name", WN_OPT_STR, NULL, 0, 0, "NAME",
     "name for `models add` [the file's or folder's own name in lower case]"},
    {0}};

static wn_status list_registered(void *ctx, const char *name, const char *path)
{
    json_t *rows = ctx;
    if (rows)
        json_array_append_new(rows,
                              json_pack("{s:s, s:s, s:s, s:b}", "name", name, "role", "generator",
                                        "path", path, "present", (int)wn_fs_exists(path)));
    else
        wn_out("%-14s %-10s %10s  %s\n", name, "generator",
               wn_fs_exists(path) ? "your own" : "missing", path);
    return WN_OK;
}

static wn_status list(wn_cli *cli, wn_error *err)
{
    json_t *rows = json_array();
    for (const wn_catalog_item *i = wn_catalog_items(); i->name; i++) {
        bool has = wn_catalog_has(cli->data_dir, i);
        char size[24];
        json_array_append_new(rows,
                              json_pack("{s:s, s:s, s:s, s:s, s:I, s:s, s:s, s:b}", "name", i->name,
                                        "role", i->role, "package", i->package, "version",
                                        i->version, "bytes", (json_int_t)i->bytes, "sha256",
                                        i->sha256, "licence", i->licence, "present", (int)has));
        if (!cli->json)
            wn_out("%-14s %-10s %10s  %s (%s)\n", i->name, i->role,
                   has ? "here" : wn_format_bytes(i->bytes, size), i->note, i->licence);
    }
    wn_status status =
        wn_catalog_registered(cli->data_dir, list_registered, cli->json ? rows : NULL, err);
    if (status == WN_OK && cli->json)
        wn_cli_print_json(json_pack("{s:O}", "rows", rows));
    json_decref(rows);
    return status;
}

static wn_status show_progress(void *ctx, uint64_t done, uint64_t total)
{
    char label[64];
    snprintf(label, sizeof label, "Fetching %s", (const char *)ctx);
    wn_progress_bar(label, done, total, true, "");
    return WN_OK;
}

static wn_status get_item(wn_cli *cli, const wn_catalog_item *item, wn_error *err)
{
    if (wn_catalog_has(cli->data_dir, item)) {
        wn_remark("%s is here already", item->name);
        return WN_OK;
    }
    char size[24];
    wn_remark("fetching %s (%s, %s)", item->name, wn_format_bytes(item->bytes, size),
              item->licence);
    return wn_catalog_get(cli->data_dir, item, show_progress, (void *)item->name, err);
}

/* Without names: the embedder, the PDF library and the generator that the options choose. */
static wn_status get(wn_cli *cli, wn_error *err)
{
    const char *defaults[] = {"minilm-l6", "pdfium",
                              wn_options_bool(cli->options, "small") ? "smollm2-135m"
                                                                     : "qwen2.5-1.5b"};
    size_t n = cli->argc > 1 ? (size_t)cli->argc - 1 : 3;
    for (size_t i = 0; i < n; i++) {
        const char *name = cli->argc > 1 ? cli->argv[i + 1] : defaults[i];
        const wn_catalog_item *item = wn_catalog_find(name);
        if (!item)
            return wn_error_set(err, WN_NOT_FOUND,
                                "no model \"%s\" to get; `winnow models list` shows what there is",
                                name);
        WN_TRY(get_item(cli, item, err));
    }
    if (cli->json)
        return list(cli, err);
    return WN_OK;
}

/* Opens the model first: a file that cannot be used is refused here, not at the first question. */
static wn_status add(wn_cli *cli, const char *path, wn_error *err)
{
    char own_name[65] = "";
    const char *name = wn_options_str(cli->options, "name");
    wn_compute *compute = NULL;
    wn_model *model = NULL;
    WN_TRY(wn_compute_open(&compute, &(wn_compute_options){.n_threads = 1}, err));
    wn_status status = wn_model_open(&model, compute, path, err);
    if (status == WN_OK && !name) {
        const char *s = wn_model_name(model);
        for (size_t i = 0; s[i] && i < 64; i++) {
            char c = s[i] >= 'A' && s[i] <= 'Z' ? (char)(s[i] - 'A' + 'a') : s[i];
            own_name[i] = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? c : '-';
        }
        name = own_name;
    }
    if (status == WN_OK)
        status = wn_catalog_register(cli->data_dir, name, path, err);
    if (status == WN_OK) {
        const wn_model_config *c = wn_model_config_of(model);
        wn_out("added %s: %s, %zu layers, %zu wide, context %zu\n", name, c->architecture,
               c->n_layers, c->d_model, c->n_ctx);
        wn_remark("use it: winnow ask --model %s ...", name);
    }
    wn_model_close(model);
    wn_compute_close(compute);
    return status;
}

static wn_status verify(wn_cli *cli, wn_error *err)
{
    wn_status status = WN_OK;
    for (const wn_catalog_item *i = wn_catalog_items(); i->name; i++) {
        if (!wn_catalog_has(cli->data_dir, i))
            continue;
        wn_error own = {0};
        wn_status one = wn_catalog_verify(cli->data_dir, i, &own);
        wn_out("%-14s %s\n", i->name, one == WN_OK ? "verified" : own.text);
        if (one != WN_OK)
            status = wn_error_set(err, one, "%s does not verify", i->name);
    }
    return status;
}

static int run(wn_cli *cli, wn_error *err)
{
    const char *verb = cli->argc > 0 ? cli->argv[0] : "list";
    wn_status status = WN_OK;
    if (strcmp(verb, "list") == 0 && cli->argc <= 1)
        status = list(cli, err);
    else if (strcmp(verb, "get") == 0)
        status = get(cli, err);
    else if (strcmp(verb, "add") == 0 && cli->argc == 2)
        status = add(cli, cli->argv[1], err);
    else if (strcmp(verb, "verify") == 0 && cli->argc == 1)
        status = verify(cli, err);
    else
        return wn_cli_usage(cli, err, "the verbs are list, get [NAME...], add PATH and verify");
    return status == WN_OK ? WN_EXIT_OK : WN_EXIT_FAILED;
}

const wn_command wn_cli_models = {
    .name = "models",
    .usage = "winnow models {list | get [NAME...] | add PATH | verify}",
    .summary = "list, fetch and add models",
    .help = "`get` without names fetches what the defaults need (with --small: the 135M "
            "model). Downloads are\nverified by SHA-256. `add` gives a model of your own (GGUF "
            "file or Hugging Face folder) a name;\n--model takes its path as well.\n\nexamples:\n"
            "  winnow models list\n"
            "  winnow models get --small\n"
            "  winnow models add ~/models/Llama-3.2-1B-Instruct --name llama",
    .options = options,
    .run = run};
