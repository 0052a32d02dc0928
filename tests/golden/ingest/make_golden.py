"""Expected contents of real documents, from parsers that have nothing in common with ours.

    python make_golden.py DOCS PDFTOTEXT OUT

DOCS is shared/data/docs. Writes, into OUT:
    markdown_<name>.txt  kind<TAB>text of every block, by markdown-it-py (kinds: H1..H6 P L T C)
    html_<name>.txt      the same by html5lib
    pdf_words.tsv        file, page, words of the page by poppler's pdftotext
    README.md            versions
Texts are compared after blanks are collapsed.
"""

import html
import importlib.metadata
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import html5lib
from markdown_it import MarkdownIt
from mdit_py_plugins.footnote import footnote_plugin

SKIPPED = {"script", "style", "noscript", "template", "nav", "head", "iframe"}
BLOCKS = {"p", "div", "blockquote", "ul", "ol", "li", "center", "hr", "body", "table", "section"}


def collapse(text):
    return re.sub(r"\s+", " ", text.replace("\u00a0", " ").replace("\u00ad", "")).strip()


# Markdown ---------------------------------------------------------------------------------------


def inline_text(token):
    out = []
    for child in token.children or []:
        if child.type in ("text", "code_inline"):
            out.append(child.content)
        elif child.type in ("softbreak", "hardbreak"):
            out.append(" ")
        elif child.type == "html_inline" and child.content.lower().startswith("<br"):
            out.append(" ")
        elif child.type == "image":
            out.append(inline_text(child))
    return "".join(out)


def markdown_blocks(text):
    md = MarkdownIt("commonmark").enable(["table", "strikethrough"]).use(footnote_plugin)
    kind, marker, lists, rows, row = None, "", [], None, None
    for t in md.parse(text):
        if t.type == "heading_open":
            kind = "H" + t.tag[1]
        elif t.type == "paragraph_open":
            kind = "L" if lists else "P"
        elif t.type in ("bullet_list_open", "ordered_list_open"):
            start = int(t.attrGet("start") or 1) if t.type.startswith("ordered") else None
            lists.append(start)
        elif t.type in ("bullet_list_close", "ordered_list_close"):
            lists.pop()
        elif t.type == "list_item_open":
            marker = "- " if lists[-1] is None else f"{lists[-1]}. "
            if lists[-1] is not None:
                lists[-1] += 1
        elif t.type == "table_open":
            rows = []
        elif t.type == "tr_open":
            row = []
        elif t.type == "tr_close":
            rows.append(" | ".join(row))
        elif t.type == "table_close":
            yield "T", " ".join(rows)
            rows = None
        elif t.type == "inline":
            if rows is not None:
                row.append(collapse(inline_text(t)))
            else:
                yield kind, marker + inline_text(t)
                marker = ""
        elif t.type in ("fence", "code_block"):
            yield "C", t.content
        elif t.type == "html_block":
            content = re.sub(r"<!--.*?-->", "", t.content, flags=re.S)
            yield "P", html.unescape(re.sub(r"<[^>]*>", "", content))


# HTML -------------------------------------------------------------------------------------------


def local(node):
    return node.tag.split("}")[-1] if isinstance(node.tag, str) else ""


def all_text(node):
    if local(node) in SKIPPED:
        return ""
    if local(node) == "br":
        return "\n"
    parts = [node.text or ""]
    for child in node:
        if local(child):
            parts.append(all_text(child))
        parts.append(child.tail or "")
    return "".join(parts)


class HtmlBlocks:
    def __init__(self):
        self.out, self.buffer, self.kind = [], [], "P"

    def flush(self):
        if collapse("".join(self.buffer)):
            self.out.append((self.kind, "".join(self.buffer)))
        self.buffer = []

    def walk(self, node):
        tag = local(node)
        if not tag or tag in SKIPPED:
            return
        if re.fullmatch("h[1-6]", tag) or tag == "pre":
            self.flush()
            self.out.append(("C" if tag == "pre" else tag.upper(), all_text(node)))
            return
        if tag == "table":
            self.flush()
            rows = [" | ".join(collapse(all_text(c)) for c in r if local(c) in ("td", "th"))
                    for r in node.iter() if local(r) == "tr"]
            self.out.append(("T", " ".join(rows)))
            return
        if tag in BLOCKS:
            self.flush()
        if tag == "br":
            self.buffer.append("\n")
        self.buffer.append(node.text or "")
        for child in node:
            self.walk(child)
            self.buffer.append(child.tail or "")
        if tag in BLOCKS:
            self.flush()


def html_blocks(data):
    tree = html5lib.parse(data, treebuilder="etree", override_encoding="utf-8")
    walker = HtmlBlocks()
    walker.walk(tree)
    walker.flush()
    return walker.out


# PDF --------------------------------------------------------------------------------------------


def page_words(text):
    text = unicodedata.normalize("NFKC", text.replace("\u00ad\n", "").replace("\u00ad", ""))
    text = re.sub(r"(?<=[^\W\d_])-\n(?=[^\W\d_])", "", text)
    return sorted({w.lower() for w in re.findall(r"[^\W\d_]{2,}", text)})


def pdf_rows(pdftotext, path, pages):
    done = subprocess.run([pdftotext, "-enc", "UTF-8", path, "-"], capture_output=True, check=True)
    for number, text in enumerate(done.stdout.decode().split("\f")[:-1], 1):
        words = page_words(text)
        if words and (pages is None or number in pages):
            yield f"{path.parent.name}/{path.name}\t{number}\t{' '.join(words)}"


def write_blocks(path, blocks):
    lines = [f"{kind}\t{collapse(text)}\n" for kind, text in blocks if collapse(text)]
    path.write_text("".join(lines), encoding="utf-8")
    print(path.name, len(lines), "blocks")


def main():
    docs, pdftotext, out = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    for path in sorted(docs.glob("book/*.md")):
        write_blocks(out / f"markdown_{path.stem}.txt", markdown_blocks(path.read_text("utf-8")))
    for path in sorted(docs.glob("alice*/*.htm")) + sorted(docs.glob("tika/*.html")):
        write_blocks(out / f"html_{path.stem}.txt", html_blocks(path.read_bytes()))
    rows = []
    for path in sorted(docs.glob("*/*.pdf")):
        if "password" in path.name:
            continue
        pages = {2, 6, 13, 28, 48, 68, 91, 99} if path.name.startswith("GeoTopo") else None
        rows += pdf_rows(pdftotext, path, pages)
    (out / "pdf_words.tsv").write_text("".join(r + "\n" for r in rows), encoding="utf-8")
    print("pdf_words.tsv", len(rows), "pages")
    poppler = subprocess.run([pdftotext, "-v"], capture_output=True, text=True).stderr.splitlines()
    version = importlib.metadata.version
    (out / "README.md").write_text(
        "# Expected contents of real documents\n\n"
        "Written by make_golden.py from the sample documents (their origin and licences:\n"
        "SOURCE.txt beside them), with\n"
        f"markdown-it-py {version('markdown-it-py')}, mdit-py-plugins {version('mdit-py-plugins')}, "
        f"html5lib {version('html5lib')}, {poppler[0]}.\n"
        "Used by tests/unit/ingest/test_real_documents.c, which says how they are compared.\n",
        encoding="utf-8")


if __name__ == "__main__":
    main()
