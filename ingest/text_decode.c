#include "ingest/text_decode.h"

#include <errno.h>
#include <iconv.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <uchardet/uchardet.h>

#include "base/checked.h"
#include "base/utf8.h"
#include "ingest/doc_builder.h"

/* iconv's name; labels in lower case without punctuation, as normalise() makes them. Labels follow
 * the WHATWG encoding standard where it widens a charset (latin1 is read as Windows-1252). */
static const struct {
    const char *name, *labels;
} charsets[] = {
    {"WINDOWS-1252", " windows1252 cp1252 iso88591 latin1 l1 ascii usascii iso885915 latin9 "},
    {"WINDOWS-1250", " windows1250 cp1250 "},
    {"WINDOWS-1251", " windows1251 cp1251 "},
    {"WINDOWS-1253", " windows1253 cp1253 "},
    {"WINDOWS-1254", " windows1254 cp1254 iso88599 latin5 "},
    {"WINDOWS-1255", " windows1255 cp1255 "},
    {"WINDOWS-1256", " windows1256 cp1256 "},
    {"WINDOWS-1257", " windows1257 cp1257 "},
    {"WINDOWS-1258", " windows1258 cp1258 "},
    {"ISO-8859-2", " iso88592 latin2 "},
    {"ISO-8859-3", " iso88593 latin3 "},
    {"ISO-8859-4", " iso88594 latin4 "},
    {"ISO-8859-5", " iso88595 "},
    {"ISO-8859-6", " iso88596 "},
    {"ISO-8859-7", " iso88597 "},
    {"ISO-8859-8", " iso88598 "},
    {"ISO-8859-10", " iso885910 latin6 "},
    {"ISO-8859-13", " iso885913 "},
    {"ISO-8859-16", " iso885916 "},
    {"KOI8-R", " koi8r koi8 "},
    {"KOI8-U", " koi8u "},
    {"IBM866", " ibm866 cp866 "},
    {"IBM855", " ibm855 cp855 "},
    {"MACINTOSH", " macintosh macroman "},
    {"MAC-CYRILLIC", " maccyrillic xmaccyrillic "},
    {"CP874", " windows874 cp874 tis620 iso885911 "},
    {"CP932", " shiftjis sjis cp932 windows31j "},
    {"EUC-JP", " eucjp "},
    {"ISO-2022-JP", " iso2022jp "},
    {"GB18030", " gb18030 gbk gb2312 hzgb2312 "},
    {"BIG5-HKSCS", " big5 big5hkscs "},
    {"CP949", " euckr cp949 uhc ksc56011987 "},
    {"UTF-16LE", " utf16le utf16 "},
    {"UTF-16BE", " utf16be "},
    {"UTF-32LE", " utf32le "},
    {"UTF-32BE", " utf32be "},
};
#define N_CHARSETS (sizeof charsets / sizeof *charsets)
#define NO_CONVERTER ((iconv_t)-1)

struct wn_charsets {
    iconv_t converters[N_CHARSETS]; /* NO_CONVERTER where the system lacks the charset */
};

wn_status wn_charsets_open(wn_charsets **out, wn_error *err)
{
    wn_charsets *cs = wn_alloc(1, sizeof *cs);
    if (!cs)
        return wn_error_set(err, WN_NO_MEMORY, "no memory for charsets");
    for (size_t i = 0; i < N_CHARSETS; i++)
        cs->converters[i] = iconv_open("UTF-8", charsets[i].name);
    *out = cs;
    return WN_OK;
}

void wn_charsets_close(wn_charsets *cs)
{
    for (size_t i = 0; cs && i < N_CHARSETS; i++)
        if (cs->converters[i] != NO_CONVERTER)
            iconv_close(cs->converters[i]);
    free(cs);
}

/* Index of a charset by its label; N_CHARSETS when unknown. */
static size_t find_charset(const char *label)
{
    char key[32] = " ";
    size_t n = 1;
    for (; *label && n + 2 < sizeof key; label++) {
        char c = *label >= 'A' && *label <= 'Z' ? (char)(*label - 'A' + 'a') : *label;
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
            key[n++] = c;
    }
    if (n == 1)
        return N_CHARSETS;
    key[n] = ' ';
    key[n + 1] = '\0';
    size_t i = 0;
    while (i < N_CHARSETS && !strstr(charsets[i].labels, key))
        i++;
    return i;
}

static wn_status append(wn_strbuf *out, const char *bytes, size_t len, wn_error *err)
{
    if (len > WN_DOC_MAX_TEXT || out->len > WN_DOC_MAX_TEXT - len)
        return wn_error_set(err, WN_LIMIT, "more than %zu MiB of text", WN_DOC_MAX_TEXT >> 20);
    wn_strbuf_add(out, bytes, len);
    return out->failed ? wn_error_set(err, WN_NO_MEMORY, "no memory for the text") : WN_OK;
}

/* unit: bytes that an undecodable place is long, so that UTF-16 stays in step. */
static wn_status convert(iconv_t converter, size_t unit, const uint8_t *data, size_t len,
                         wn_strbuf *out, wn_error *err)
{
    char chunk[16384];
    char *in = (char *)(uintptr_t)data; /* iconv's prototype lacks the const */
    size_t left = len;
    iconv(converter, NULL, NULL, NULL, NULL);
    while (left > 0) {
        char *to = chunk;
        size_t room = sizeof chunk;
        size_t n = iconv(converter, &in, &left, &to, &room);
        int why = n == (size_t)-1 ? errno : 0;
        WN_TRY(append(out, chunk, sizeof chunk - room, err));
        if (why == EILSEQ || why == EINVAL) {
            WN_TRY(append(out, "\xEF\xBF\xBD", 3, err));
            in += unit < left ? unit : left;
            left -= unit < left ? unit : left;
        } else if (why != 0 && why != E2BIG) {
            return wn_error_set_errno(err, why, "the text cannot be decoded");
        }
    }
    return WN_OK;
}

static wn_status convert_with(size_t charset, const uint8_t *data, size_t len, wn_charsets *cs,
                              wn_strbuf *out, wn_error *err)
{
    iconv_t converter = cs ? cs->converters[charset] : iconv_open("UTF-8", charsets[charset].name);
    if (converter == NO_CONVERTER)
        return wn_error_set(err, WN_UNSUPPORTED, "the text is %s, which this system's iconv lacks",
                            charsets[charset].name);
    const char *name = charsets[charset].name;
    size_t unit = strncmp(name, "UTF-16", 6) == 0 ? 2 : strncmp(name, "UTF-32", 6) == 0 ? 4 : 1;
    wn_status status = convert(converter, unit, data, len, out, err);
    if (!cs)
        iconv_close(converter);
    return status;
}

/* Charset and length of the byte order mark; "" and 0 when there is none. */
static const char *read_bom(const uint8_t *d, size_t len, size_t *mark)
{
    static const struct {
        const char *bytes, *charset;
        size_t len;
    } boms[] = {{"\xEF\xBB\xBF", "utf-8", 3},
                {"\xFF\xFE\0\0", "utf-32le", 4},
                {"\0\0\xFE\xFF", "utf-32be", 4},
                {"\xFF\xFE", "utf-16le", 2},
                {"\xFE\xFF", "utf-16be", 2}};
    for (size_t i = 0; i < sizeof boms / sizeof *boms; i++) {
        *mark = boms[i].len;
        if (len >= *mark && memcmp(d, boms[i].bytes, *mark) == 0)
            return boms[i].charset;
    }
    *mark = 0;
    return "";
}

static size_t detect(const uint8_t *data, size_t len)
{
    const size_t enough = (size_t)1 << 20; /* bytes; uchardet is sure long before */
    size_t charset = N_CHARSETS;
    uchardet_t ud = uchardet_new();
    if (ud && uchardet_handle_data(ud, (const char *)data, len < enough ? len : enough) == 0) {
        uchardet_data_end(ud);
        charset = find_charset(uchardet_get_charset(ud));
    }
    if (ud)
        uchardet_delete(ud);
    return charset;
}

/* UTF-8 as it is: the builder turns malformed bytes into U+FFFD. */
static bool is_utf8_label(const char *label)
{
    return label && (strcasecmp(label, "utf-8") == 0 || strcasecmp(label, "utf8") == 0);
}

wn_status wn_text_decode(const uint8_t *data, size_t len, const char *declared, wn_charsets *cs,
                         wn_strbuf *out, wn_error *err)
{
    size_t mark = 0;
    const char *bom = read_bom(data, len, &mark);
    data += mark;
    len -= mark;
    if (is_utf8_label(bom) ||
        (!*bom && (wn_utf8_valid((const char *)data, len) || is_utf8_label(declared))))
        return append(out, (const char *)data, len, err);
    size_t charset = *bom ? find_charset(bom) : declared ? find_charset(declared) : N_CHARSETS;
    if (charset == N_CHARSETS)
        charset = detect(data, len);
    if (charset == N_CHARSETS)
        charset = 0; /* Windows-1252: every byte of most other texts means something in it */
    return convert_with(charset, data, len, cs, out, err);
}

bool wn_text_is_binary(const char *utf8, size_t len)
{
    const size_t looked_at = len < 65536 ? len : 65536;
    size_t controls = 0;
    for (size_t i = 0; i < looked_at; i++) {
        unsigned char c = (unsigned char)utf8[i];
        if (c < 0x20 && c != '\n' && c != '\r' && c != '\t' && c != '\f' && c != 0x1B)
            controls += c == '\0' ? 8 : 1; /* a NUL weighs more: text has none */
    }
    return controls >= 8 && controls * 50 > looked_at;
}
