"""The house is as its plan says: README programs run as written, rooms include only what stands before them, nothing in the
library ends the process or goes past its allocator, and the programs have a user's habits."""
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("LLMCALL_LIBRARY", ROOT / "build" / "libllmcall.so")).resolve().parent
CHAT = BUILD / "llmcall-chat"
BENCH = BUILD / "llmcall-bench"

# What each room may include besides itself and core, in the order in which a call goes through them.
LAYERS = {
    "core": [], "gateway": [], "route": [], "template": [], "tokenizer": [], "kv": [], "scheduler": ["kv"], "backend": [],
    "model": ["tokenizer", "backend"], "sampler": [], "output": [], "meter": [],
    "engine": ["template", "tokenizer", "kv", "scheduler", "model", "backend", "sampler", "output", "meter"],
    "api": ["engine", "gateway", "route", "template"],
}
BANNED = re.compile(r"\b(abort|exit|_exit|assert|printf|puts|setlocale|signal|strcpy|strcat|sprintf|gets|atoi|atof|strtok)\s*\(")
ALLOCATORS = re.compile(r"\b(malloc|calloc|realloc|aligned_alloc|posix_memalign|strdup|free)\s*\(")


def sources(*folders):
    for folder in folders:
        yield from (p for p in sorted((ROOT / folder).rglob("*")) if p.suffix in (".c", ".h"))


def code_of(path):
    """Without comments and strings."""
    text = path.read_text()
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\])*"', lambda m: "\n" * m.group().count("\n"), text, flags=re.S)


def test_rooms_include_only_what_stands_before_them():
    wrong = []
    for path in sources("src"):
        room = path.relative_to(ROOT / "src").parts[0]
        for include in re.findall(r'#include "([a-z]+)/', path.read_text()):
            allowed = include in ("kernels", "core", room) or include in LAYERS[room]
            if not allowed or (include == "kernels" and room not in ("backend", "model")):
                wrong.append(f"{path.relative_to(ROOT)} includes {include}")
    assert not wrong


def test_kernels_include_nothing_above_them():
    for path in sources("kernels"):
        for include in re.findall(r'#include "([^"]+)"', path.read_text()):
            assert include.startswith("kernels/"), f"{path}: {include}"


def test_nothing_ends_the_process_or_allocates_on_its_own():
    wrong = []
    for path in sources("src", "kernels"):
        text = code_of(path)
        wrong += [f"{path.name}: {m.group()}" for m in BANNED.finditer(text)]
        if "core" not in path.parts:
            wrong += [f"{path.name}: {m.group()}" for m in ALLOCATORS.finditer(text)]
    assert not wrong


def test_every_file_begins_by_saying_what_it_owns():
    for path in sources("src", "kernels", "examples"):
        assert path.read_text().lstrip().startswith("/*"), path


def readme_block(language):
    return re.search(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.S).group(1)


def test_page_of_models_is_current():
    table = BUILD / "tests" / "model_table"
    subprocess.run([sys.executable, ROOT / "tests" / "tools" / "models_readme.py", table, "--check"], check=True)


def test_readme_c_program(tmp_path, model_path):
    program = tmp_path / "program.c"
    program.write_text(readme_block("c").replace('"model.gguf"', f'"{model_path}"'))
    subprocess.run(["cc", "-std=c99", "-Wall", "-Wextra", "-Werror", str(program), f"-I{ROOT}/include", f"-L{BUILD}", "-lllmcall",
                    f"-Wl,-rpath,{BUILD}", "-o", str(tmp_path / "program")], check=True)
    done = subprocess.run([tmp_path / "program"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "Paris" in done.stdout


def test_readme_python_program(tmp_path, model_path):
    program = tmp_path / "program.py"
    program.write_text(readme_block("python").replace('"model.gguf"', f'"{model_path}"'))
    environment = dict(os.environ, PYTHONPATH=str(ROOT / "bindings" / "python"))
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout) > 5


def chat(*arguments, **keywords):
    return subprocess.run([CHAT, *map(str, arguments)], capture_output=True, text=True, timeout=60, **keywords)


@pytest.mark.skipif(not CHAT.exists(), reason="built without examples")
class TestPrograms:
    question = ("--system", "You are a helpful assistant.", "--temp", "0", "-p", "What is the capital of France?")

    def test_quickstart_answers(self, model_path):
        done = subprocess.run([ROOT / "examples" / "quickstart.sh", "What is the capital of France?", "-m", model_path, "--timeline"],
                              capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert "Paris" in done.stdout and "prefill" in done.stdout and "\033" not in done.stdout

    def test_timeline_has_14_stages(self, model_path):
        lines = chat("-m", model_path, *self.question, "--timeline").stdout.splitlines()
        stages = [line.split()[1] for line in lines if re.match(r"\s*\d+  [a-z]+ ", line)]
        assert stages == ["network", "http", "auth", "limits", "validate", "route", "tokenize", "queue", "cache", "prefill", "decode",
                          "output", "package", "bill"]

    def test_json(self, model_path):
        answer = json.loads(chat("-m", model_path, *self.question, "--json").stdout)
        assert "Paris" in answer["text"] and answer["finish_reason"] == "stop" and len(answer["timeline"]) == 14
        assert answer["usage"]["cost_nano"] == sum(span["cost_nano"] for span in answer["timeline"])

    def test_conversation_from_a_pipe_reuses_its_prefix(self, model_path):
        turns = "What is the capital of France?\nAnd of Italy?\n"
        done = chat("-m", model_path, "--system", "You are a helpful assistant.", "--temp", "0", "--json", input=turns)
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(answers) == 2 and answers[0]["usage"]["cached_tokens"] == 0 and answers[1]["usage"]["cached_tokens"] >= 16

    def test_wrong_usage(self, model_path):
        assert chat("--help").returncode == 0 and "Usage" in chat("--help").stdout
        for arguments in ([], ["-m", model_path, "--temp", "warm"], ["--nonsense"], ["-m", model_path, "stray"]):
            done = chat(*arguments)
            assert done.returncode == 2 and done.stderr and not done.stdout
        missing = chat("-m", "/nowhere.gguf", "-p", "x")
        assert missing.returncode == 1 and "/nowhere.gguf" in missing.stderr

    def test_interrupt_ends_the_answer_and_reports_130(self, model_path):
        process = subprocess.Popen([CHAT, "-m", model_path, "--temp", "1", "--seed", "1", "--max-tokens", "4000", "-p",
                                    "Write a very long story about the sea."], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout.read(20)
        process.send_signal(signal.SIGINT)
        start = time.monotonic()
        process.communicate(timeout=20)
        assert process.returncode == 130 and time.monotonic() - start < 10

    def test_bench_reports(self, model_path):
        done = subprocess.run([BENCH, "-m", model_path, "-t", "2", "-p", "32", "-n", "4", "-b", "1,2", "-r", "1", "--json"],
                              capture_output=True, text=True, timeout=120)
        tests = [json.loads(line) for line in done.stdout.splitlines()]
        assert [t["test"] for t in tests] == ["pp32", "tg4", "tg4@2"] and all(t["tps"] > 0 and "tps_sd" in t for t in tests)
