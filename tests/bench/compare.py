#!/usr/bin/env python3
"""Measures libllmcall and llama.cpp side by side and writes RESULTS.md and results.svg. Run it through compare.sh.

Both run alternately, ours first in one round and the peer first in the next, with the same file and threads. A run in which
other processes took more than a few percent of the machine is repeated, because one busy core slows llama.cpp down many times.
"""
import argparse
import contextlib
import datetime
import fcntl
import fnmatch
import json
import multiprocessing
import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tests" / "conformance"))
import packages  # noqa: E402

CACHE = packages.CACHE / "bench"
SAMPLES = CACHE / "samples.json"
START_CONTEXT = 4096
DISTURBED = 0.05  # share of the machine that others may take in a run
TOO_LONG = 300  # seconds: a run that takes longer was starved by others and says nothing

MADE = ["F16", "BF16", "IQ3_XXS", "IQ3_S", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ1_S", "IQ1_M"]  # by make_model.py itself
TYPES = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", *MADE]
QUANTIZE_NAMES = {"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M"}  # of llama-quantize, which --pure makes plain
TIERS = ["avx2", "avxvnni", "avx512", "avx512bf16", "amx"]
SMALL = "SmolLM2 Q4_1"
TIKTOKEN = ["tiktoken==0.14.0", "regex==2026.11.19"]

MODELS = {  # name in the table: file, and for those made by llama-quantize its type
    "SmolLM2 Q4_1": (packages.MODEL, None),
    "1B Q4_K_M": ("llama-1b-Q4_K_M.gguf", "Q4_K_M"),
    "1B Q4_0": ("llama-1b-Q4_0.gguf", "Q4_0"),
    "1B Q8_0": ("llama-1b-Q8_0.gguf", "Q8_0"),
    "1B F16": ("llama-1b-F16.gguf", None),
    "1B BF16": ("llama-1b-BF16.gguf", None),
}

# A job is one run of either side and gives one or more rows; "rows" has each one's target ratio (None: no target is set).
# speed, batch: tokens a second, more is better. start: seconds and peak bytes, less is better. busy: speed while another
# process keeps one core busy. tokenizer: MB/s, against the best of three.
JOBS = [
    dict(model="SmolLM2 Q4_1", kind="speed", prompt=512, decode=64, rows={"pp512": 7, "tg64": 2}, quick=True),
    dict(model="SmolLM2 Q4_1", kind="batch", batches=[8, 16], rows={"tg64@8": None, "tg64@16": 5}, quick=True),
    dict(model="1B Q4_K_M", kind="speed", prompt=512, decode=64, rows={"pp512": 2.2, "tg64": 1.05}),
    dict(model="1B Q4_K_M", kind="batch", batches=[8], rows={"tg64@8": 4}),
    dict(model="1B Q4_0", kind="speed", prompt=512, decode=64, rows={"pp512": 2.4, "tg64": 1.05}),
    dict(model="1B Q4_0", kind="batch", batches=[8], rows={"tg64@8": None}),
    dict(model="1B Q8_0", kind="speed", prompt=512, decode=64, rows={"pp512": 3, "tg64": 1.05}),
    dict(model="1B Q8_0", kind="batch", batches=[8], rows={"tg64@8": None}),
    dict(model="1B F16", kind="speed", prompt=512, decode=0, rows={"pp512": 1.2}),
    dict(model="1B BF16", kind="speed", prompt=512, decode=0, rows={"pp512": 1.2}),
    dict(model="SmolLM2 Q4_1", kind="start", rows={"start": 1.0, "peak memory": 1.05}, quick=True),
    dict(model="1B Q4_K_M", kind="start", rows={"start": 1.0, "peak memory": 1.05}),
    dict(model="1B Q8_0", kind="start", rows={"start": 1.0, "peak memory": 1.05}),
    dict(model="SmolLM2 Q4_1", kind="speed", prompt=8192, decode=0, rows={"pp8192": 3}),
    dict(model=SMALL, kind="busy", prompt=0, decode=64, rows={"tg64, a core busy": None}, section="busy"),
    dict(model="Llama 3", kind="tokenizer", rows={"tokenizer": 3}, section="tokenizer", rounds=1),
]
# Each with a file of its own, made before and deleted after it.
TYPE_JOBS = [dict(model=f"0.4B {kind}", kind=work, prompt=512, decode=32, batches=[8], section="types", rounds=2,
                  rows={"pp512": None, "tg32": None} if work == "speed" else {"tg32@8": None})
             for kind in TYPES for work in ("speed", "batch")]
# Ours alone: name, target (None, or what it shall reach or stay below), unit.
OWN = {
    "sampling": [(f"sampling, {name}", 2, "% of a decode step") for name in (
        "greedy", "temperature 1", "top_p 0.9", "top_p 0.95", "top_k 40", "min_p 0.05", "penalties", "logprobs")],
    "speculation": [("speculation, decode against none", 1.8, "×")],
    "tiers": [(f"{SMALL} {row}, {tier}", None, "tok/s") for tier in TIERS for row in ("pp512", "tg64")],
}
SECTIONS = ["speed", "busy", "tokenizer", "types", *OWN]
LESS_IS_BETTER = ("start", "peak memory")


def say(text):
    print(text, file=sys.stderr, flush=True)


# ---- Model files ----

def make_file(path, command):
    """Runs command with a name that does not start with a digit (llama-quantize takes that for a type); whole or not at all."""
    part = path.with_name("part-" + path.name)
    say(f"Making {path.name}")
    try:
        subprocess.run([str(part) if word == "OUT" else str(word) for word in command], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        part.rename(path)
    except subprocess.CalledProcessError as error:
        sys.exit(f"{path.name} could not be made:\n{error.stderr.decode(errors='replace')[-2000:]}")
    finally:
        part.unlink(missing_ok=True)


def model_file(model, peer, threads):
    if model.startswith("0.4B"):
        return type_file(model.split()[1], peer, threads)
    name, quantized = MODELS[model]
    if name == packages.MODEL:
        return packages.model()
    path = CACHE / name
    if path.exists():
        return path
    if quantized:
        make_file(path, [peer / "llama-quantize", model_file("1B F16", peer, threads), "OUT", quantized, threads])
    else:
        kind = path.stem.rsplit("-", 1)[1].lower()
        vocabulary = packages.llama_models() / "ggml-vocab-llama-bpe.gguf"
        make_file(path, [sys.executable, HERE / "make_model.py", "llama-1b", vocabulary, "OUT", "--type", kind])
    return path


def type_file_name(model):
    return CACHE / f"llama-0.4b-{model.split()[1]}.gguf"


def type_file(kind, peer, threads):
    path = type_file_name(f"0.4B {kind}")
    if path.exists():
        return path
    if kind in MADE:
        vocabulary = packages.llama_models() / "ggml-vocab-llama-bpe.gguf"
        make_file(path, [sys.executable, HERE / "make_model.py", "llama-0.4b", vocabulary, "OUT", "--type", kind.lower()])
    else:
        source = type_file("F16", peer, threads)
        make_file(path, [peer / "llama-quantize", "--pure", source, "OUT", QUANTIZE_NAMES.get(kind, kind), threads])
    return path


def describe(path):
    """What the ceilings need: multiplied elements by type, in the layers and in the output matrix, bytes, attention's shape."""
    import gguf

    reader = gguf.GGUFReader(path)
    arch = reader.fields["general.architecture"].contents()

    def number(key):
        return int(reader.fields[f"{arch}.{key}"].contents())

    heads = number("attention.head_count")
    has_head_dim = f"{arch}.attention.key_length" in reader.fields
    head_dim = number("attention.key_length") if has_head_dim else number("embedding_length") // heads
    kv_heads = number("attention.head_count_kv") if f"{arch}.attention.head_count_kv" in reader.fields else heads
    layers = number("block_count")
    tied = all(t.name != "output.weight" for t in reader.tensors)
    told = dict(layer={}, output={}, bytes=0, attention=4 * layers * heads * head_dim,
                kv_bytes_per_token=layers * kv_heads * head_dim * 2 * 2)
    for t in reader.tensors:
        if len(t.shape) < 2 or (t.name == "token_embd.weight" and not tied):
            continue
        part = told["layer" if t.name.startswith("blk.") else "output"]
        part[t.tensor_type.name] = part.get(t.tensor_type.name, 0) + int(t.n_elements)
        told["bytes"] += int(t.n_bytes)
    return told


def in_child(function, *arguments):
    """What function returns, from a process of its own: a child's peak memory starts at what its parent has resident."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


# ---- Running ----

def busy_seconds():
    """Of all cores since boot, without idle, waiting for disks and what a virtual machine's guests count twice."""
    fields = [int(x) for x in pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    return (sum(fields[:3]) + sum(fields[5:8])) / os.sysconf("SC_CLK_TCK")


def wait_for_quiet(seconds):
    """Until others take less than a tenth of the machine, at most so long."""
    deadline = time.monotonic() + seconds
    while True:
        before = busy_seconds()
        time.sleep(0.5)
        if (busy_seconds() - before) / 0.5 / os.cpu_count() < 0.1 or time.monotonic() > deadline:
            return


def read_through(path):
    """So that the file is in the page cache: making the next model, or the system, may have pushed it out."""
    with open(path, "rb", buffering=0) as file:
        while file.read(16 << 20):
            pass


def watch_peak(child, peak):
    """Keeps the child's peak of resident memory in peak[0]. ru_maxrss will not do: it begins with this process's own."""
    status = pathlib.Path(f"/proc/{child.pid}/status")
    while child.returncode is None:
        try:
            found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        except OSError:
            return
        if found:
            peak[0] = max(peak[0], int(found.group(1)) * 1024)
        time.sleep(0.01)


def run(command):
    """Output, seconds, peak bytes, share of the machine that others took; None if it was starved."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        busy, begin = busy_seconds(), time.monotonic()
        child = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        alarm = threading.Timer(TOO_LONG, child.kill)
        peak = [0]
        watcher = threading.Thread(target=watch_peak, args=(child, peak), daemon=True)
        watcher.start()
        alarm.start()
        try:
            _, status, usage = os.wait4(child.pid, 0)
        except KeyboardInterrupt:
            child.kill()
            child.wait()
            raise
        finally:
            alarm.cancel()
        child.returncode = os.waitstatus_to_exitcode(status)
        watcher.join()
        if child.returncode == -signal.SIGKILL:
            return None
        seconds = time.monotonic() - begin
        busy = busy_seconds() - busy - usage.ru_utime - usage.ru_stime
        out.seek(0)
        err.seek(0)
        text = out.read().decode(errors="replace")
        if child.returncode:
            told = err.read().decode(errors="replace")[-2000:]
            sys.exit(f"{' '.join(map(str, command))}\nfailed ({child.returncode}):\n{told}")
    return text, seconds, peak[0], max(0.0, busy) / (seconds * os.cpu_count())


def json_lines(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def ours(job, path, told, a):
    """The command, and what reads {row: value} from its output, seconds and bytes."""
    command = [a.build / "llmcall-bench", "-m", path, "-t", a.threads, "--json"]
    if job["kind"] == "start":
        kv = START_CONTEXT * told["kv_bytes_per_token"]
        return command + ["--start", "-p", 1, "-n", 0, "--context", START_CONTEXT, "--kv-bytes", kv], start_values
    if job["kind"] == "batch":
        command += ["-p", 0, "-n", job.get("decode", 64), "-b", ",".join(map(str, job["batches"])), "-r", 1]
    else:
        command += ["-p", job["prompt"], "-n", job["decode"]] + repetitions(job)
    return command, lambda text, seconds, peak: {line["test"]: line["tps"] for line in json_lines(text)}


def peer(job, path, told, a):
    if job["kind"] == "start":
        return [a.peer / "llama-completion", "-m", path, "-t", a.threads, "-c", START_CONTEXT, "-n", 1, "-p", "Hi", "-no-cnv",
                "--no-warmup", "--temp", 0], start_values
    if job["kind"] == "batch":
        decode = job.get("decode", 64)
        most = max(job["batches"]) * (128 + decode)
        command = [a.peer / "llama-batched-bench", "-m", path, "-t", a.threads, "-c", most, "-npp", 128, "-ntg", decode, "-npl",
                   ",".join(map(str, job["batches"])), "--output-format", "jsonl"]
        return command, lambda text, seconds, peak: {f"tg{x['tg']}@{x['pl']}": x["speed_tg"] for x in json_lines(text)}
    command = [a.peer / "llama-bench", "-m", path, "-t", a.threads, "-p", job["prompt"], "-n", job["decode"],
               "-o", "jsonl", "-fa", 1]
    return command + repetitions(job), lambda text, seconds, peak: {
        f"pp{x['n_prompt']}" if x["n_prompt"] else f"tg{x['n_gen']}": x["avg_ts"] for x in json_lines(text)}


def repetitions(job):
    """A long prompt warms itself up: what the first touch of the file costs does not show in it."""
    return ["-r", 1, "--no-warmup"] if job["prompt"] > 2048 else ["-r", 2]


@contextlib.contextmanager
def a_core_busy(core):
    """Another process on one core, all the time."""
    child = subprocess.Popen([sys.executable, "-c", f"import os; os.sched_setaffinity(0, [{core}])\nwhile True: pass"])
    try:
        time.sleep(0.3)
        yield
    finally:
        child.kill()
        child.wait()


def start_values(text, seconds, peak):
    return {"start": seconds, "peak memory": peak}


def measure(side, job, path, told, a):
    """{row: value} of the least disturbed of up to three runs, and how disturbed it was; None if all were starved."""
    command, read = side(job, path, told, a)
    best = None
    if job["kind"] == "busy":
        wait_for_quiet(a.wait)
        with a_core_busy(max(os.sched_getaffinity(0))):
            done = run(command)
        return done and ({f"{row}, a core busy": value for row, value in read(*done[:3]).items()}, 0.0)
    for _ in range(3):
        read_through(path)
        wait_for_quiet(a.wait)
        done = run(command)
        if not done:
            say(f"Killed after {TOO_LONG} s, starved by other processes: {pathlib.Path(command[0]).name}")
            continue
        text, seconds, peak, others = done
        if best is None or others < best[1]:
            best = read(text, seconds, peak), others
        if best[1] <= DISTURBED or seconds > 45:
            break
    return best


def samples_of(data, job, row):
    return data["samples"].setdefault(f"{job['model']} {row}", {"ours": [], "peer": [], "others": []})


def is_done(job, rounds, data):
    return all(len(samples_of(data, job, row)[side]) >= rounds for row in job["rows"] for side in ("ours", "peer"))


def measure_round(a, data, job, path, round_number):
    if job["kind"] == "tokenizer":
        return measure_tokenizers(a, data, job)
    sides = [("ours", ours), ("peer", peer)]
    for name, side in sides if round_number % 2 == 0 else sides[::-1]:
        measured = measure(side, job, path, data["files"].get(job["model"]), a)
        if not measured:
            continue
        values, others = measured
        for row in job["rows"]:
            samples = samples_of(data, job, row)
            samples[name].append(values[row])
            samples["others"].append(others)
        say(f"round {round_number + 1}  {job['model']:13} {name}  "
            + "  ".join(f"{row} {shown(row, values[row])}" for row in job["rows"])
            + (f"  (others took {others:.0%})" if others > DISTURBED else ""))


def save(a, data):
    if a.keeps:
        SAMPLES.write_text(json.dumps(data))


def measure_all(a, data):
    jobs = [job for job in JOBS if (job.get("quick") or not a.quick) and selected(job, a)]
    type_jobs = [job for job in TYPE_JOBS if not a.quick and selected(job, a)]
    own = [section for section in OWN if not a.quick and wants_own(section, a)]
    if not jobs and not type_jobs and not own:
        sys.exit(f"No row matches {a.only}; the sections are {', '.join(SECTIONS)}.")
    forget(a, data, jobs + type_jobs, own)
    for round_number in range(a.rounds):
        now = [job for job in jobs if round_number < job.get("rounds", a.rounds) and not is_done(job, round_number + 1, data)]
        if round_number == 0 or now:
            say("Measuring the machine")
            wait_for_quiet(a.wait)
            data["limits"] = measure_limits(a.threads, data["limits"])
        for job in now:
            measure_round(a, data, job, file_and_shape(a, data, job), round_number)
            save(a, data)
    measure_types(a, data, type_jobs)
    for section in own:
        MEASURE_OWN[section](a, data)
        save(a, data)


def file_and_shape(a, data, job):
    if job["kind"] == "tokenizer":
        return None
    path = model_file(job["model"], a.peer, a.threads)
    if job["model"] not in data["files"]:
        data["files"][job["model"]] = in_child(describe, path)
    return path


def measure_types(a, data, jobs):
    """The F16 file, of which the others are made, goes last."""
    try:
        for model in dict.fromkeys(job["model"] for job in jobs):
            some = [job for job in jobs if job["model"] == model]
            if not all(is_done(job, min(a.rounds, job["rounds"]), data) for job in some):
                measure_type(a, data, some)
            if not model.endswith(" F16"):
                type_file_name(model).unlink(missing_ok=True)
    finally:
        for kind in TYPES if jobs else []:
            type_file_name(f"0.4B {kind}").unlink(missing_ok=True)


def measure_type(a, data, jobs):
    for round_number in range(min(a.rounds, jobs[0]["rounds"])):
        for job in jobs:
            if not is_done(job, round_number + 1, data):
                measure_round(a, data, job, file_and_shape(a, data, job), round_number)
        save(a, data)


def wants_own(section, a):
    return not a.only or a.only == section or any(fnmatch.fnmatch(row, f"*{a.only}*") for row, _, _ in OWN[section])


def selected(job, a):
    section = job.get("section", "speed")
    if not a.only or a.only == section:
        return True
    return a.only not in SECTIONS and any(fnmatch.fnmatch(f"{job['model']} {row}", f"*{a.only}*") for row in job["rows"])


def forget(a, data, jobs, own):
    """--again: what is selected is measured anew."""
    for job in jobs if a.again else []:
        for row in job["rows"]:
            data["samples"].pop(f"{job['model']} {row}", None)
    for section in own if a.again else []:
        for row, _, _ in OWN[section]:
            data["own"].pop(row, None)


# ---- Tokenizers, and what only ours has ----

def measure_tokenizers(a, data, job):
    vocabulary = packages.llama_models() / "ggml-vocab-llama-bpe.gguf"
    text, folder = CACHE / "text-2.7MB.txt", CACHE / TIKTOKEN[0]
    script = [sys.executable, HERE / "tokenizer_speed.py"]
    if not text.exists():
        make_file(text, [*script, "text", vocabulary, "OUT"])
    if not folder.exists():
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
                        "--only-binary", ":all:", "--target", folder, *TIKTOKEN], check=True)
    extra = {"ours": a.build / "libllmcall.so", "tiktoken": folder, "tokenizers": "", "llama.cpp": a.peer}
    got = {}
    for side, argument in extra.items():
        wait_for_quiet(a.wait)
        done = run([*script, side, vocabulary, text, argument])
        if done:
            got[side] = json_lines(done[0])[0]
            say(f"tokenizer     {side}  {got[side]['mbs']:.1f} MB/s")
    if len({(one["digest"], one["tokens"]) for one in got.values()}) > 1:
        sys.exit(f"The tokenizers do not agree: {got}")
    if len(got) < len(extra):
        return
    samples = samples_of(data, job, "tokenizer")
    samples["ours"].append(got["ours"]["mbs"])
    samples["peer"].append(max(one["mbs"] for side, one in got.items() if side != "ours"))
    samples["others"].append(0.0)
    data["tokenizers"] = {side: one["mbs"] for side, one in got.items()} | {"bytes": got["ours"]["bytes"]}


def measure_sampling(a, data):
    """The sampler's microseconds on rows like a model's, as a share of the time that a token of the same vocabulary takes."""
    program = a.build / "tests" / "unit" / "bench_sampler"
    if not program.exists():
        return say(f"There is no {program}: configure the build with -Dtests=true for the share of sampling.")
    speed = samples_of(data, dict(model=SMALL), "tg64")["ours"]
    if not speed:
        wait_for_quiet(a.wait)
        job = dict(model=SMALL, kind="speed", prompt=0, decode=64)
        speed = [measure(ours, job, packages.model(), None, a)[0]["tg64"]]
    wait_for_quiet(a.wait)
    vocabulary = 49152
    for line in output_of(program, vocabulary).splitlines()[1:]:
        name, usual = line[:22].strip(), line[22:].split()[0]
        row = f"sampling, {name}"
        if any(row == known for known, _, _ in OWN["sampling"]):
            data["own"][row] = 100 * float(usual) * 1e-6 * statistics.median(speed)
    say("  ".join(f"{row} {data['own'][row]:.1f}%" for row, _, _ in OWN["sampling"] if row in data["own"]))


def measure_speculation(a, data):
    wait_for_quiet(a.wait)
    done = run([sys.executable, HERE / "speculation.py", "-m", packages.model(), "-t", a.threads, "--json",
                "--library", a.build / "libllmcall.so"])
    if done:
        told = json_lines(done[0])[-1]
        data["own"][OWN["speculation"][0][0]] = told["ratio"]
        say(f"speculation {told}")


def measure_tiers(a, data):
    for tier in TIERS:
        wait_for_quiet(a.wait)
        command = [a.build / "llmcall-bench", "-m", packages.model(), "-t", a.threads, "--json", "--cpu", tier, "-r", 2]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
        if done.returncode:
            say(f"tier {tier}: not on this machine")
            continue
        for line in json_lines(done.stdout):
            data["own"][f"{SMALL} {line['test']}, {tier}"] = line["tps"]
        say(f"tier {tier}  " + "  ".join(f"{line['test']} {line['tps']:.0f}" for line in json_lines(done.stdout)))


MEASURE_OWN = {"sampling": measure_sampling, "speculation": measure_speculation, "tiers": measure_tiers}


# ---- The machine ----

def output_of(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    return (done.stdout + done.stderr).strip()


def measure_limits(threads, known):
    """The best of this and what was known: others who share the memory of the host make single figures too low."""
    with tempfile.TemporaryDirectory() as folder:
        program = pathlib.Path(folder) / "limits"
        subprocess.run([os.environ.get("CC", "cc"), "-O2", "-pthread", "-o", program, HERE / "limits.c"], check=True)
        now = json.loads(subprocess.run([program, str(threads)], check=True, capture_output=True, text=True).stdout)
    return {key: max(value, known.get(key, value)) if key != "int8_by" else value for key, value in now.items()}


def describe_machine(a):
    cpu = pathlib.Path("/proc/cpuinfo").read_text()

    def of_cpu(key):
        found = re.search(rf"^{key}\s*: (.*)$", cpu, re.M)
        return found.group(1) if found else "?"

    memory = int(re.search(r"MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text()).group(1)) * 1024
    return {
        "date": datetime.date.today().isoformat(), "cpu": of_cpu("model name"), "family": of_cpu("cpu family"),
        "model": of_cpu("model"),
        "cores": os.cpu_count(), "memory_gb": round(memory / 1e9), "threads": a.threads,
        "kernel": os.uname().release.split("-")[0], "compiler": output_of("cc", "--version").splitlines()[0],
        "ours": output_of(a.build / "llmcall-chat", "--version"),
        "commit": output_of("git", "-C", ROOT, "describe", "--always", "--dirty"),
        "peer": output_of(a.peer / "llama-bench", "--version").splitlines()[0].removeprefix("version: "),
        "peer_package": f"llama-cpp-python {packages.LLAMA_VERSION}",
        "peer_amx": ", AMX working" if re.search(r"^flags.*\bamx_int8\b", cpu, re.M) else "",
    }


def rate_for(kind, limits, amx=True):
    """Operations a second that this machine could do in products with weights of this type; amx: also in tiles, if it can."""
    if kind in ("F32", "F16"):
        return limits["fp32_gflops"] * 1e9
    if kind == "BF16":
        rate = max(limits["fp32_gflops"], limits.get("bf16_gflops", 0))
        return (max(rate, limits.get("amx_bf16_gflops", 0)) if amx else rate) * 1e9
    return (max(limits["int8_gops"], limits.get("amx_int8_gops", 0)) if amx else limits["int8_gops"]) * 1e9


def ceiling(row, told, limits, amx=True):
    """Tokens a second if only arithmetic at its peak, or reading the weights, took time; None where that says nothing."""
    if told is None or "busy" in row:
        return None
    layer = sum(2 * n / rate_for(kind, limits, amx) for kind, n in told["layer"].items())
    output = sum(2 * n / rate_for(kind, limits, amx) for kind, n in told["output"].items())
    if row.startswith("pp"):
        n = int(row[2:])
        attention = told["attention"] * n * n / 2 / (limits["fp32_gflops"] * 1e9)
        return n / (n * layer + output + attention)
    if row.startswith("tg"):
        batch = int(row.partition("@")[2] or 1)
        return batch / max(told["bytes"] / (limits["read_gbs"] * 1e9), batch * (layer + output))
    return None


# ---- Showing ----

def shown(row, value):
    if row == "start":
        return f"{value:.2f} s"
    if row == "peak memory":
        return f"{value / 1e6:,.0f} MB"
    if row == "tokenizer":
        return f"{value:.1f} MB/s"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def table(data, jobs=JOBS):
    """One dict a row, in the order of the models, of those that both sides have samples of."""
    rows = []
    names = list(MODELS)
    for job in sorted(jobs, key=lambda j: names.index(j["model"]) if j["model"] in names else len(names)):
        for row, target in job["rows"].items():
            s = data["samples"].get(f"{job['model']} {row}")
            if not s or not s["ours"] or not s["peer"]:
                continue
            mine, theirs = statistics.median(s["ours"]), statistics.median(s["peer"])
            less = row in LESS_IS_BETTER
            ratio = mine / theirs
            most = [ceiling(row, data["files"].get(job["model"]), data["limits"], amx) for amx in (True, False)]
            rows.append(dict(model=job["model"], row=row, ours=mine, peer=theirs, ratio=ratio, target=target, less=less,
                             met=None if target is None else ratio <= target if less else ratio >= target,
                             spread=[(max(v) - min(v)) / statistics.median(v) for v in (s["ours"], s["peer"])],
                             ceiling=most[0], without_amx=most[1], others=max(s["others"]), section=job.get("section", "speed"),
                             rounds=min(len(s["ours"]), len(s["peer"]))))
    return rows


def markdown_table(rows, limits):
    """With a column for vector instructions alone where the machine has more."""
    amx = "amx_int8_gops" in limits
    lines = ["| test | ours | llama.cpp | ratio | target | met | spread, ours / llama.cpp | of the ceiling, ours / llama.cpp |"
             + " without AMX |" * amx,
             "|---|---:|---:|---:|---:|:---:|---:|---:|" + "---:|" * amx]
    for r in rows:
        target = "" if r["target"] is None else f"{'≤' if r['less'] else '≥'} {r['target']:g}"
        met = "" if r["met"] is None else "yes" if r["met"] else "**no**"
        of = [f"{r['ours'] / most:.0%} / {r['peer'] / most:.0%}" if most else "" for most in (r["ceiling"], r["without_amx"])]
        mark = " †" if r["others"] > DISTURBED else ""
        lines.append(f"| {r['model']} {r['row']}{mark} | {shown(r['row'], r['ours'])} | {shown(r['row'], r['peer'])} | "
                     f"{r['ratio']:.2f} | {target} | {met} | {r['spread'][0]:.0%} / {r['spread'][1]:.0%} | {of[0]} |" + f" {of[1]} |" * amx)
    return "\n".join(lines)


def own_rows(data):
    """(name, value, unit, target, met) of what only ours has."""
    for section, known in OWN.items():
        for name, target, unit in known:
            value = data.get("own", {}).get(name)
            if value is not None:
                met = None if target is None else value <= target if section == "sampling" else value >= target
                yield name, value, unit, ("≤" if section == "sampling" else "≥") + f" {target:g}" if target else "", met


def own_table(data):
    lines = ["| what | value | target | met |", "|---|---:|---:|:---:|"]
    for name, value, unit, target, met in own_rows(data):
        digits = f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
        lines.append(f"| {name} | {digits} {unit} | {target} | {'' if met is None else 'yes' if met else '**no**'} |")
    return "\n".join(lines)


def busy_text(data):
    """What is left of the quiet speed while another process keeps a core busy."""
    left = []
    for side, name in (("ours", "ours"), ("peer", "llama.cpp")):
        quiet, busy = (data["samples"].get(f"{SMALL} {row}", {}).get(side) for row in ("tg64", "tg64, a core busy"))
        if not quiet or not busy:
            return ""
        left.append(f"{name} keeps {statistics.median(busy) / statistics.median(quiet):.0%}")
    return f"With another process busy on one core, {left[0]} of its decode speed, {left[1]}.\n"


def tokenizers_text(data):
    told = data.get("tokenizers")
    if not told:
        return ""
    speeds = ", ".join(f"{side} {told[side]:.1f}" for side in ("tiktoken", "llama.cpp", "tokenizers"))
    return (f"tokenizer: MB/s of {told['bytes'] / 1e6:.1f} MB of English, code and other scripts, one thread, Llama 3 vocabulary;\n"
            f"the second column is the best of tiktoken, tokenizers and llama.cpp ({speeds}). All give the same ids.\n")


def machine_text(data):
    m, most = data["machine"], data["limits"]
    dot = f"{most['int8_gops']:,.0f} Gop/s in 8-bit dot products of vectors ({most['int8_by']})"
    if "amx_int8_gops" in most:
        dot += f", {most['amx_int8_gops']:,.0f} in AMX's tiles"
    bf16 = [f"{most[key]:,.0f} {where}" for key, where in (("bf16_gflops", "in vectors"), ("amx_bf16_gflops", "in AMX's tiles"))
            if key in most]
    lines = [
        f"- {m['date']}: {m['cpu']} (family {m['family']}, model {m['model']}), {m['cores']} cores, {m['memory_gb']} GB, "
        f"Linux {m['kernel']}; both programs with {m['threads']} threads",
        f"- {m['ours']} ({m['commit']}), {m['compiler']}",
        f"- llama.cpp {m['peer']} ({m['peer_package']}), native build{m.get('peer_amx', '')}, flash attention on",
        f"- Ceilings of this machine, the best of those measured before each round with all threads: {dot}; "
        f"{most['fp32_gflops']:,.0f} GFLOP/s in single precision; "
        + (f"in bfloat16 dot products {', '.join(bf16)} GFLOP/s; " if bf16 else "") + f"reading {most['read_gbs']:.1f} GB/s",
    ]
    return "\n".join(lines)


def markdown(data):
    rows, types = table(data), table(data, TYPE_JOBS)
    least = min((r["rounds"] for r in rows if r["section"] != "tokenizer"), default=1)
    rounds = f"{least} round{'s' * (least > 1)}"
    judged = [r["met"] for r in rows if r["met"] is not None] + [met for *_, met in own_rows(data) if met is not None]
    disturbed = "\n† Other processes took more than 5% of the machine in at least one of its runs.\n" if any(
        r["others"] > DISTURBED for r in rows + types) else ""
    every_type = f"""
## Every type

A model of 0.4B parameters, random weights, all matrices of one type. Medians of {min(r["rounds"] for r in types)} or more.

{markdown_table(types, data["limits"])}
""" if types else ""
    alone = f"""
## Ours alone

{own_table(data)}

sampling: the sampler's time for one token on rows like a model's, of the time of a decode step of {SMALL}.
The last rows force a CPU tier.
""" if list(own_rows(data)) else ""
    return f"""# Speed beside llama.cpp

Written by `tests/bench/compare.sh`; [README.md](README.md) says what each column means. Medians of {rounds} or more, in which
both run alternately. {sum(judged)} of {len(judged)} targets are met.

{machine_text(data)}

![Ratios to llama.cpp](results.svg)

{markdown_table(rows, data["limits"])}
{disturbed}
pp and tg in tokens a second. 1B: random weights in the shape of Llama 3.2 1B. start: seconds of the whole process that answers
"Hi" with one token, file in the page cache. peak memory: of that process, with a context of {START_CONTEXT:,} tokens.
{busy_text(data)}{tokenizers_text(data)}{every_type}{alone}"""


def escape(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def svg(data):
    """Bars of how many times better than the peer (its seconds or bytes over ours where less is better), a tick at the target."""
    rows = [r for r in table(data) if r["section"] != "busy" or r["target"]]
    left, width, step, top = 230, 560, 24, 64
    gain = [1 / r["ratio"] if r["less"] else r["ratio"] for r in rows]
    goal = [None if r["target"] is None else 1 / r["target"] if r["less"] else r["target"] for r in rows]
    most = max(gain + [g for g in goal if g]) * 1.08
    height = top + step * len(rows) + 40

    def x(value):
        return left + width * value / most

    m = data["machine"]
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 60} {height}" font-family="sans-serif" '
           'font-size="13">',
           "<title>libllmcall beside llama.cpp</title>", f'<rect width="{left + width + 60}" height="{height}" fill="#fff"/>',
           '<text x="14" y="24" font-size="16" font-weight="bold" fill="#111">'
           'Times llama.cpp, same machine, same file, same threads</text>',
           f'<text x="14" y="44" fill="#555">{escape(m["cpu"])}, {m["threads"]} threads, {m["date"]}; '
           'black tick: target</text>']
    for value in range(0, int(most) + 1):
        line = "#444" if value == 1 else "#ddd"
        out.append(f'<line x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{top - 6}" y2="{height - 30}" stroke="{line}"/>')
        out.append(f'<text x="{x(value):.1f}" y="{height - 12}" text-anchor="middle" fill="#555">{value}×</text>')
    for i, (r, g, t) in enumerate(zip(rows, gain, goal)):
        y = top + step * i
        color = "#8a8f98" if r["met"] is None else "#2b7a4b" if r["met"] else "#c2702a"
        name = escape(r["model"] + " " + r["row"])
        out.append(f'<text x="{left - 10}" y="{y + 13}" text-anchor="end" fill="#111">{name}</text>')
        out.append(f'<rect x="{left}" y="{y}" width="{x(g) - left:.1f}" height="{step - 8}" fill="{color}"/>')
        out.append(f'<text x="{x(max(g, t or 0)) + 6:.1f}" y="{y + 13}" fill="#111">{g:.2f}×</text>')
        if t:
            out.append(f'<line x1="{x(t):.1f}" x2="{x(t):.1f}" y1="{y - 3}" y2="{y + step - 5}" stroke="#000" '
                       'stroke-width="2"/>')
    return "\n".join(out + ["</svg>", ""])


def write_results(data):
    (HERE / "RESULTS.md").write_text(markdown(data))
    (HERE / "results.svg").write_text(svg(data))
    say(f"Wrote {HERE / 'RESULTS.md'} and results.svg")


def options():
    p = argparse.ArgumentParser(prog="compare.sh", description="libllmcall beside llama.cpp on this machine.")
    p.add_argument("--quick", action="store_true", help="the small model only, one round, to the terminal; writes nothing")
    p.add_argument("--only", metavar="WHAT", help="a section (" + ", ".join(SECTIONS) + ") or the rows whose name "
                   "matches, e.g. 'Q4_K_M tg64*'; without --resume it writes nothing")
    p.add_argument("--resume", action="store_true",
                   help="go on with the last run's samples until each row has --rounds of them")
    p.add_argument("--again", action="store_true", help="with --resume: forget the samples of what --only selects first")
    p.add_argument("--rounds", type=int, metavar="N", help="times that each side runs (default 3; with --quick 1); types at "
                   "most 2, tokenizers once")
    p.add_argument("--threads", type=int, default=os.cpu_count(), metavar="N", help="of both sides (default: one a core)")
    p.add_argument("--wait", type=float, default=60, metavar="S",
                   help="before a run, wait so long for a quiet machine (default 60)")
    p.add_argument("--report", action="store_true", help="measure nothing; write the files again from the last run")
    p.add_argument("--build", type=pathlib.Path, default=ROOT / "build", help=argparse.SUPPRESS)
    p.add_argument("--peer", type=pathlib.Path, help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.rounds is None:
        a.rounds = 1 if a.quick else 3
    if a.rounds < 1 or a.threads < 1 or a.wait < 0:
        p.error("--rounds and --threads must be at least 1, --wait at least 0")
    return a


def main():
    a = options()
    if a.report:
        if not SAMPLES.exists():
            sys.exit("There is no last run; start without --report.")
        return write_results(json.loads(SAMPLES.read_text()))
    if not a.peer:
        sys.exit("Run this through compare.sh.")
    CACHE.mkdir(parents=True, exist_ok=True)
    lock = (CACHE / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit("Another comparison is running; two at once measure each other.")
    a.keeps = a.resume or not (a.quick or a.only)
    data = start_data(a)
    measure_all(a, data)
    if a.keeps:
        write_results(data)
    else:
        rows = table(data) + table(data, TYPE_JOBS)
        print(f"{machine_text(data)}\n\n{markdown_table(rows, data['limits'])}\n\n{own_table(data)}")


def start_data(a):
    """--resume: what the last run left, if it was of the same machine and programs."""
    machine = describe_machine(a)
    fresh = dict(machine=machine, limits={}, files={}, samples={}, own={})
    if not a.resume or not SAMPLES.exists():
        return fresh
    data = fresh | json.loads(SAMPLES.read_text())
    differ = [key for key in ("cpu", "cores", "threads", "peer", "commit") if data["machine"].get(key) != machine[key]]
    if differ:
        say("The last run differs in " + ", ".join(f"{key}: {data['machine'].get(key)}, now {machine[key]}" for key in differ))
    if set(differ) & {"cpu", "cores", "threads"}:
        sys.exit("Its samples cannot stand beside those of this one.")
    data["machine"] = machine
    return data


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell started it in the background and ignores SIGINT for it
        signal.signal(number, signal.default_int_handler)
    try:
        main()
    except KeyboardInterrupt:
        say("\nStopped.")
        sys.exit(130)
