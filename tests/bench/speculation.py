#!/usr/bin/env python3
"""Decode speed with and without prompt look-up speculation, on texts that the answer repeats and on one that it does not.

Greedy answers, off and on in turn; the fastest of the rounds counts. Both answers must be the same text, or it fails.
"""
import argparse
import json
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "bindings" / "python"), str(ROOT / "tests" / "conformance")]

TEXT = (
    "The lighthouse at Cape Merrow was built in 1861, after three ships were lost on the rocks in a single winter. Its "
    "tower is 34 metres high and stands on a base of granite blocks, each of which was cut on the mainland and carried over "
    "by barge. The lamp first burned whale oil, then paraffin, and from 1927 electricity from a small generator in the "
    "keeper's house. Four families lived on the island until 1974, when the light was made automatic and the last keeper, "
    "Thomas Alder, rowed back to the harbour with his dog and two suitcases. Today the tower is open to visitors from May "
    "to September. The climb of 167 steps ends on a narrow gallery, from which one can see the harbour, the old quarry and, "
    "on clear days, the hills behind the town of Selby. Every year on the first Sunday of June the lamp is lit by hand, and "
    "the people of the town gather on the shore to watch it."
)
CODE = """def read_table(path):
    rows = []
    with open(path) as file:
        for line in file:
            name, value = line.strip().split(",")
            rows.append((name, float(value)))
    return rows

def total(rows):
    result = 0
    for name, value in rows:
        result += value
    return result

def largest(rows):
    best = None
    for name, value in rows:
        if best is None or value > best[1]:
            best = (name, value)
    return best
"""
WRONG = TEXT.replace("granite", "granit").replace("narrow", "narow").replace("gather", "gahter").replace("keeper's", "keepers")

# Name: what is asked, and whether the answer is one that repeats its prompt and counts in the sum.
TASKS = {
    "repeat": ("Repeat the following text exactly, word for word:\n\n" + TEXT, False),
    "correct": ("Correct the spelling mistakes in the following text and write out the corrected text in full:\n\n" + WRONG,
                True),
    "summarise": ("Summarise the following text in a few sentences, quoting its facts:\n\n" + TEXT, True),
    "edit code": ("Rewrite this Python code so that `value` is called `amount` everywhere. Answer with the whole code.\n\n"
                  "```python\n" + CODE + "```", True),
    "story": ("Write a short story about a fox who learns to play the violin.", False),
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", "--model", help="a GGUF file (default: the small real model)")
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("-r", "--rounds", type=int, default=5)
    parser.add_argument("-n", "--max-tokens", type=int, default=300)
    parser.add_argument("--speculate", type=int, default=7, help="longest draft (default: 7)")
    parser.add_argument("--library", help="libllmcall.so (default: LLMCALL_LIBRARY, or build/)")
    parser.add_argument("--json", action="store_true", help="one JSON line")
    return parser.parse_args()


class Measure:
    """One question, asked in turn with and without drafts."""

    def __init__(self, question):
        self.question, self.text, self.tokens = question, None, 0
        self.seconds = {False: float("inf"), True: float("inf")}
        self.drafted = self.accepted = 0

    def ask(self, engine, given, on):
        options = {"temperature": 0, "max_tokens": given.max_tokens, "speculate": given.speculate if on else 0}
        reply = engine.chat.completions.create(messages=[{"role": "user", "content": self.question}], **options)
        text, usage = reply.choices[0].message.content, reply.usage
        if self.text not in (None, text):
            sys.exit("The answers differ, which must never be.")
        self.text, self.tokens = text, usage.completion_tokens - 1
        self.seconds[on] = min(self.seconds[on], (usage.total_ns - usage.first_token_ns) / 1e9)
        if on:
            details = usage.completion_tokens_details
            self.accepted = details.accepted_prediction_tokens
            self.drafted = self.accepted + details.rejected_prediction_tokens


def figures(measures):
    """Of several together: all their tokens in all their time."""
    tokens, drafted = sum(m.tokens for m in measures), sum(m.drafted for m in measures)
    off, on = (tokens / sum(m.seconds[key] for m in measures) for key in (False, True))
    return {"off_tps": round(off, 1), "on_tps": round(on, 1), "ratio": round(on / off, 2), "tokens": tokens,
            "acceptance": round(sum(m.accepted for m in measures) / drafted, 3) if drafted else 0}


def main():
    given = arguments()
    if given.library:
        os.environ["LLMCALL_LIBRARY"] = given.library
    import llmcall
    import packages

    engine = llmcall.Engine(given.model or packages.model(), threads=given.threads)
    measures = {name: Measure(question) for name, (question, _) in TASKS.items()}
    for _ in range(given.rounds):
        for measure in measures.values():
            for on in (False, True):
                measure.ask(engine, given, on)
    rows = {name: figures([measure]) for name, measure in measures.items()}
    total = figures([measures[name] for name, (_, counts) in TASKS.items() if counts])
    if given.json:
        print(json.dumps({"test": "speculation", **total, "tasks": rows}))
        return
    print(f"{'':18}{'off tok/s':>10}{'on tok/s':>10}{'ratio':>8}{'drafts right':>14}")
    for name, row in [*rows.items(), ("correct to edit", total)]:
        print(f"{name:18}{row['off_tps']:10.1f}{row['on_tps']:10.1f}{row['ratio']:8.2f}{row['acceptance']:14.0%}")


if __name__ == "__main__":
    main()
