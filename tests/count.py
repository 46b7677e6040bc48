"""Counts test cases for run.sh: count.py meson testlog.json STATUS | junit junit.xml STATUS; prints "PASSED FAILED". A run that
failed without a failed case counts as one failed."""

import json
import re
import sys
import xml.etree.ElementTree as ElementTree


def count_meson(path):
    """Cases of cmocka executables by what they print; others count as one."""
    passed = failed = 0
    for line in open(path):
        test = json.loads(line)
        text = test.get("stdout", "") + test.get("stderr", "")
        ok = sum(int(n) for n in re.findall(r"\[  PASSED  \] (\d+) test", text))
        bad = sum(int(n) for n in re.findall(r"\[  FAILED  \] (\d+) test", text))
        if test["result"] == "OK":
            passed += ok or 1
        elif test["result"] != "SKIP":
            passed += ok
            failed += bad or 1
    return passed, failed


def count_junit(path):
    passed = failed = 0
    for suite in ElementTree.parse(path).getroot().iter("testsuite"):
        bad = int(suite.get("failures")) + int(suite.get("errors"))
        passed += int(suite.get("tests")) - bad - int(suite.get("skipped"))
        failed += bad
    return passed, failed


def main():
    kind, path, status = sys.argv[1], sys.argv[2], int(sys.argv[3])
    try:
        passed, failed = (count_meson if kind == "meson" else count_junit)(path)
    except (OSError, ValueError, ElementTree.ParseError):
        passed, failed = 0, 0
    if status and not failed:
        failed = 1
    print(passed, failed)


main()
