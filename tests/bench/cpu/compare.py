#!/usr/bin/env python3
"""winnow and llama.cpp on the same files, by turns: A B A B. Standard library only.

    compare.py --winnow build/winnow --llama DIR/build/bin --models DIR --csv results/NAME.csv
    compare.py ... --rows '135m.*(prefill 512|decode)' --repeat 3      a short run
    compare.py ... --rows '135m.* (prefill|decode) (512|0)$' --contend    with one core taken
    compare.py --table results/NAME.csv                  the table of what is in the file

--models: the folder with the files of random_gguf.py, named 135m-q8_0.gguf, 1b-q8_0.gguf, 1b-q4_0.gguf, and real
models 135m-bf16.gguf, real-q4_k_m.gguf (links will do); rows of files that are not there are left out. See README.md.
"""
import argparse
import csv
import datetime
import json
import os
import re
import resource
import signal
import statistics
import subprocess
import sys
import time

# file, what, size (prompt length, or tokens held before decoding), settings of winnow
ROWS = [
    ("135m-q8_0", "prefill", 512, ["dense"]),
    ("135m-q8_0", "prefill", 4096, ["dense", "thin 4"]),
    ("135m-q8_0", "prefill", 8192, ["dense", "thin 4"]),
    ("135m-q8_0", "decode", 0, ["dense"]),
    ("135m-q8_0", "decode", 8192, ["dense", "int8", "thin 4", "thin 4 int8"]),
    ("135m-bf16", "prefill", 512, ["dense"]),
    ("135m-bf16", "prefill", 4096, ["dense"]),
    ("135m-bf16", "decode", 0, ["dense"]),
    ("1b-q8_0", "prefill", 512, ["dense"]),
    ("1b-q8_0", "prefill", 2048, ["dense"]),
    ("1b-q8_0", "decode", 0, ["dense"]),
    ("1b-q4_0", "prefill", 512, ["dense"]),
    ("1b-q4_0", "prefill", 2048, ["dense"]),
    ("1b-q4_0", "decode", 0, ["dense"]),
    ("real-q4_k_m", "prefill", 2048, ["dense"]),
    ("real-q4_k_m", "decode", 0, ["dense"]),
]
SETTINGS = {"dense": [], "int8": ["--kv-format", "int8"], "thin 4": ["--thin", "4"],
            "thin 4 int8": ["--thin", "4", "--kv-format", "int8"]}
FLASH = {"fa 0": "0", "fa 1": "1"}
COLUMNS = ["date", "commit", "machine", "isa", "threads", "llama", "file", "row", "program", "setting", "contended",
           "others", "per_second"]
WARM_UP_BELOW = 2048  # llama-bench's warm-up is a whole run: longer ones need none
RUNS_AT_DEPTH = 3     # filling the session takes long: runs of one turn, whose median counts as one
HOPELESS = 0.8        # the -fa setting that is slower than this share of the other in the first turn is dropped
NOISY = 0.1           # processors that others used during a sample: it is taken again, and not counted
TRIES = 3             # then it is kept as it is


def call(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return done.returncode, done.stdout, done.stderr


def processor_seconds(busy):
    """Of the whole machine (what the host takes from it included), and of our children, `busy` among them."""
    tick = os.sysconf("SC_CLK_TCK")
    with open("/proc/stat") as f:
        user, nice, system, _, _, irq, softirq, steal = map(int, f.readline().split()[1:9])
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = children.ru_utime + children.ru_stime + sum(os.times()[:2])
    if busy:
        with open(f"/proc/{busy.pid}/stat") as f:
            own += sum(map(int, f.read().rsplit(")", 1)[1].split()[11:13])) / tick
    return (user + nice + system + irq + softirq + steal) / tick - own


class Bench:
    def __init__(self, args):
        self.args, self.isa, self.absent, self.busy = args, "", set(), None
        self.commit = call(["git", "-C", os.path.dirname(os.path.abspath(__file__)), "describe", "--always",
                            "--dirty"])[1].strip()
        version = call([os.path.join(args.llama, "llama-bench"), "--version"])
        found = re.search(r"version: (\S+)", version[1] + version[2])
        self.llama_version = f"{found.group(1)} of llama-cpp-python 0.3.36" if found else "?"
        with open("/proc/cpuinfo") as f:
            self.machine = re.search(r"model name\s*:\s*(.*)", f.read()).group(1) + f", {os.cpu_count()} CPUs"

    def winnow(self, path, what, size, setting):
        a = self.args
        command = [a.winnow, "bench", what, "--json", "--quiet", "--model", path, "--threads", str(a.threads),
                   "--isa", a.isa, *SETTINGS[setting]]
        if what == "prefill":
            command += ["--tokens", str(size), "--repeat", "1"]
        else:
            command += ["--depth", str(size), "--generate", str(a.generate),
                        "--repeat", str(RUNS_AT_DEPTH if size else 1)]
        code, out, err = call(command)
        if code == 2 and "unknown option" in err:
            if setting not in self.absent:
                print(f"this winnow has no setting {setting}: left out", file=sys.stderr)
            self.absent.add(setting)
            return None
        if code != 0:
            sys.exit(f"{' '.join(command)}: {err}")
        row = json.loads(out)["rows"][0]
        self.isa = row["isa"]
        return row["median"]

    def llama(self, path, what, size, setting):
        command = [os.path.join(self.args.llama, "llama-bench"), "-m", path, "-t", str(self.args.threads), "-o", "json",
                   "-fa", FLASH[setting]]
        if what == "prefill":
            command += ["-p", str(size), "-n", "0", "-r", "1"]
            if size >= WARM_UP_BELOW or self.busy:
                command.append("--no-warmup")
        else:
            command += ["-p", "0", "-n", str(self.args.generate), "-d", str(size),
                        "-r", str(RUNS_AT_DEPTH if size else 1)]
        code, out, err = call(command)
        if code != 0:
            sys.exit(f"{' '.join(command)}: {err}")
        return statistics.median(json.loads(out)[0]["samples_ts"])

    def keep(self, file, row, program, setting, sample):
        """Takes a sample (a function), again if others disturbed it, and writes it down; the value or None."""
        for _ in range(TRIES):
            before, start = processor_seconds(self.busy), time.monotonic()
            value = sample()
            if value is None:
                return None
            others = (processor_seconds(self.busy) - before) / (time.monotonic() - start)
            if others <= NOISY:
                break
        line = [datetime.datetime.now().isoformat(timespec="seconds"), self.commit, self.machine, self.isa,
                self.args.threads, self.llama_version, file, row, program, setting,
                int(self.busy is not None), f"{max(others, 0):.2f}", f"{value:.3f}"]
        os.makedirs(os.path.dirname(os.path.abspath(self.args.csv)), exist_ok=True)
        new = not os.path.exists(self.args.csv) or os.path.getsize(self.args.csv) == 0
        with open(self.args.csv, "a", newline="") as f:
            out = csv.writer(f, lineterminator="\n")
            if new:
                out.writerow(COLUMNS)
            out.writerow(line)
        self.samples.append(dict(zip(COLUMNS, line)))
        return value

    def measure(self, file, what, size, settings):
        """One turn for each repetition: winnow in every setting, then llama.cpp with and without -fa."""
        path, row, flash = os.path.join(self.args.models, file + ".gguf"), f"{what} {size}", dict.fromkeys(FLASH, 0)
        for turn in range(self.args.repeat):
            for setting in settings:
                self.keep(file, row, "winnow", setting, lambda: self.winnow(path, what, size, setting))
            for setting in list(flash):
                flash[setting] = self.keep(file, row, "llama.cpp", setting,
                                           lambda: self.llama(path, what, size, setting))
            if turn == 0:
                flash = {s: v for s, v in flash.items() if v >= HOPELESS * max(flash.values())}

    def run(self):
        self.samples = []
        rows = [r for r in ROWS if re.search(self.args.rows, f"{r[0]} {r[1]} {r[2]}")]
        for file, what, size, settings in rows:
            if not os.path.exists(os.path.join(self.args.models, file + ".gguf")):
                print(f"{file}.gguf is not in {self.args.models}: left out", file=sys.stderr)
                continue
            print(f"{file} {what} {size} ...", file=sys.stderr)
            if self.args.contend:
                settings = ["dense"]
            self.measure(file, what, size, settings)
            if self.args.contend:
                self.busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
                try:
                    self.measure(file, what, size, settings)
                finally:
                    self.busy.kill()
                    self.busy.wait()
                    self.busy = None
        return self.samples


def medians(samples):
    """{(isa, file, row, contended): {(program, setting): (median, min, max, n)}}, in order of appearance. Disturbed
    samples do not count."""
    groups = {}
    for s in samples:
        if float(s["others"]) > NOISY:
            print(f"disturbed, not counted: {s['file']} {s['row']} {s['program']} {s['setting']} {s['per_second']}/s "
                  f"({s['others']} processors used by others)", file=sys.stderr)
            continue
        key = (s["isa"], s["file"], s["row"], int(s["contended"]))
        groups.setdefault(key, {}).setdefault((s["program"], s["setting"]), []).append(float(s["per_second"]))
    return {k: {p: (statistics.median(v), min(v), max(v), len(v)) for p, v in g.items()} for k, g in groups.items()}


def show(v):
    return f"{v[0]:.1f} ({v[1]:.1f}-{v[2]:.1f}, {v[3]})"


def print_table(samples):
    table = medians(samples)
    print("| isa | file | row | winnow's setting | winnow per s (min-max, n) | peer per s (min-max, n) | ratio |")
    print("|---|---|---|---|---|---|---|")
    for (isa, file, row, contended), by in table.items():
        ours = {setting: v for (program, setting), v in by.items() if program == "winnow"}
        peers = {}  # the better setting of each
        for (program, setting), v in by.items():
            if program != "winnow" and v > peers.get(program, ((0,),))[0]:
                peers[program] = (v, setting)
        for setting, v in ours.items():
            for program, (peer, best) in (peers or {"": ((0, 0, 0, 0), "")}).items():
                print(f"| {isa} | {file} | {row}{' contended' if contended else ''} | {setting} | {show(v)} | "
                      f"{program} {best} {show(peer)} | {v[0] / peer[0] if peer[0] else 0:.2f} |")
    shares = [(k, table.get(k[:3] + (0,))) for k in table if k[3]]
    for (isa, file, row, _), free in [x for x in shares if x[1]]:
        busy = table[(isa, file, row, 1)]
        text = [f"{p} {s} {busy[(p, s)][0] / free[(p, s)][0]:.0%}" for (p, s) in busy if (p, s) in free]
        print(f"with one core taken, {isa} {file} {row}: {', '.join(text)} of the undisturbed speed")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--winnow", default="build/winnow")
    parser.add_argument("--llama", help="folder with llama-bench")
    parser.add_argument("--models", help="folder with the model files")
    parser.add_argument("--csv", help="one line a sample is added to this file")
    parser.add_argument("--rows", default="", help="regular expression over 'FILE WHAT SIZE'")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--generate", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--isa", default="auto", help="winnow's; llama.cpp uses what it was built for")
    parser.add_argument("--contend", action="store_true", help="again with a busy process beside it")
    parser.add_argument("--table", help="only print the table of a CSV file")
    args = parser.parse_args()
    if args.table:
        with open(args.table, newline="") as f:
            samples = [s for s in csv.DictReader(f) if re.search(args.rows, f"{s['file']} {s['row']}")]
        return print_table(samples)
    if not args.llama or not args.models or not args.csv:
        parser.error("--llama, --models and --csv are needed")
    print_table(Bench(args).run())


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # what was started is stopped too
    main()
