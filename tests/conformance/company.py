"""Calls at once, and calls beside those that a test looks at."""
import contextlib
import threading


def at_once(function, arguments):
    """[function(argument), ...], each on a thread of its own; what one of them raises is raised."""
    results, problems = [None] * len(arguments), []

    def run(i):
        try:
            results[i] = function(arguments[i])
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(arguments))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]
    return results


def in_one_batch(engine, calls):
    """[(text, log-probabilities), ...] of completions that all wait before the first step, so that what they do to each other is the
    same in each run: for an engine without threads."""
    streams = [engine.completions.create(stream=True, **call) for call in calls]
    while engine.step():
        pass
    answers = []
    for stream in streams:
        choices = [choice for chunk in stream for choice in chunk.choices]
        answers.append(("".join(choice.text for choice in choices),
                        [value for choice in choices if choice.logprobs for value in choice.logprobs.token_logprobs]))
    return answers


@contextlib.contextmanager
def company(engine, n, prompt_of, **options):
    """While the block runs, n callers each start one streamed call after the other, of prompt_of(caller, round); every second caller
    leaves its calls in the middle."""
    stop, problems = threading.Event(), []

    def call(number):
        try:
            round_ = 0
            while not stop.is_set():
                round_ += 1
                stream = engine.completions.create(prompt=prompt_of(number, round_), max_tokens=8 + number, seed=number, stream=True,
                                                   **options)
                for seen, _ in enumerate(stream):
                    if seen == 3 and number % 2:
                        break
                stream.close()
        except Exception as problem:
            problems.append(problem)

    callers = [threading.Thread(target=call, args=(i,)) for i in range(n)]
    for caller in callers:
        caller.start()
    try:
        yield
    finally:
        stop.set()
        for caller in callers:
            caller.join()
    assert not problems
