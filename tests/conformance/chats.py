"""Conversations, tools and variables for chat templates: what people send, and what they should not."""

WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "The weather of a place, \"now\" or <later>.",
    "parameters": {"type": "object", "properties": {
        "place": {"type": "string", "description": "City & country, e.g. \"Orléans, FR\""},
        "unit": {"type": "string", "enum": ["°C", "°F"], "default": "°C"},
        "days": {"type": "integer", "minimum": 1, "maximum": 14}}, "required": ["place"]}}}
SEARCH = {"type": "function", "function": {
    "name": "search", "description": "Finds pages.\nTwo lines.", "strict": True,
    "parameters": {"type": "object", "properties": {
        "query": {"type": ["string", "null"], "description": "words"}, "limit": {"type": "number", "default": 1.5},
        "tags": {"type": "array", "items": {"type": "string"}},
        "where": {"type": "object", "properties": {"host": {"type": "string"}, "deep": {"type": "boolean", "default": False}},
                  "required": ["host"]},
        "any": {"anyOf": [{"type": "string"}, {"type": "integer"}]}}, "required": ["query", "where"],
        "additionalProperties": False},
    "return": {"type": "array", "description": "pages"}}}
EMPTY_TOOL = {"type": "function", "function": {"name": "noop", "description": "", "parameters": {"type": "object", "properties": {}}}}
BARE_TOOL = {"name": "bare", "description": "no wrapper", "parameters": {"type": "object", "properties": {"x": {"type": "string"}}}}


def user(content):
    return {"role": "user", "content": content}


def assistant(content, **more):
    return {"role": "assistant", "content": content, **more}


def system(content):
    return {"role": "system", "content": content}


def call(name, arguments, identifier="call00001"):
    return {"id": identifier, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(content, identifier="call00001", name="get_weather"):
    return {"role": "tool", "tool_call_id": identifier, "name": name, "content": content}


PLACE = {"place": "Orléans", "days": 3}
ASKED = [user("Weather in Orléans?"), assistant(None, tool_calls=[call("get_weather", PLACE)])]
TEXTS = [{"type": "text", "text": "one"}, {"type": "text", "text": " two\n"}]
IMAGE = [{"type": "image"}, {"type": "text", "text": "What is this?"}]
IMAGE_URL = [{"type": "text", "text": "See"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]
DOCUMENTS = [{"title": "A \"title\"", "text": "Some text.", "doc_id": 1}, {"title": "Größe", "text": "", "doc_id": "b"}]

# name: messages, or messages and further variables.
CHATS = {
    "no messages": [],
    "one": [user("Hello")],
    "system": [system("Be brief."), user("Hi")],
    "system alone": [system("Be brief.")],
    "developer": [{"role": "developer", "content": "Obey."}, user("Hi")],
    "turns": [user("1"), assistant("2"), user("3"), assistant("4"), user("5")],
    "system and turns": [system("S"), user("1"), assistant("2"), user("3")],
    "ends with the assistant": [user("1"), assistant("2")],
    "two users": [user("1"), user("2")],
    "two assistants": [user("1"), assistant("2"), assistant("3"), user("4")],
    "begins with the assistant": [assistant("1"), user("2")],
    "late system": [user("1"), system("S"), user("2")],
    "two systems": [system("S"), system("T"), user("1"), assistant("2"), user("3")],
    "spaces": [system("  S\n\n"), user("\n 1\t "), assistant(" 2\n"), user("\u00a03\u2003")],
    "empty": [system(""), user(""), assistant(""), user("")],
    "unicode": [system("Ünï — “quoted”"), user("日本語 😀 e\u0301 \u200d عربى"), assistant("ﬁ İı ß \U0001f468\u200d\U0001f469"), user("\u2028\ufeff")],
    "markup": [user("<b>&'\"</b> {{ 7*7 }} {% if %} <|im_end|> [INST] </s> \\n %s {}"), assistant("<tool_call>"), user("</think>")],
    "control characters": [user("a\0b\x01\x1b\x7f\r\n\r"), assistant("\b\f\v"), user("x")],
    "none content": [user(None), assistant(None), user("x")],
    "no content": [{"role": "user"}, {"role": "assistant"}, user("x")],
    "unknown role": [user("1"), {"role": "narrator", "content": "2"}, user("3")],
    "names": [dict(user("1"), name="ann"), assistant("2", name="bot"), dict(user("3"), name="böb")],
    "numbers as content": [user(1), assistant(2.5), user(True)],
    "text parts": [system([{"type": "text", "text": "S"}]), user(TEXTS), assistant([{"type": "text", "text": "a"}]), user(TEXTS)],
    "empty parts": [user([]), assistant([]), user([{"type": "text", "text": ""}])],
    "image": [user(IMAGE)],
    "image url": [user(IMAGE_URL), assistant("A cat."), user("Sure?")],
    "audio and video": [user([{"type": "audio"}, {"type": "video"}, {"type": "input_audio"}, {"type": "text", "text": "?"}])],
    "tools": ([user("Weather?")], {"tools": [WEATHER]}),
    "tools and system": ([system("Be brief."), user("Weather?")], {"tools": [WEATHER, SEARCH, EMPTY_TOOL]}),
    "no tools": ([user("Hi")], {"tools": []}),
    "bare tool": ([user("Hi")], {"tools": [BARE_TOOL]}),
    "call": (ASKED, {"tools": [WEATHER]}),
    "call and result": ([*ASKED, result("{\"temp\": 21}")], {"tools": [WEATHER, SEARCH]}),
    "call without tools": [*ASKED, result("21 °C"), assistant("21 degrees."), user("Thanks")],
    "call with text": ([user("Weather?"), assistant("Let me see.\n", tool_calls=[call("get_weather", PLACE)]), result("ok"),
                        assistant("Fine."), user("And?")], {"tools": [WEATHER]}),
    "two calls": ([user("Both?"), assistant("", tool_calls=[call("get_weather", PLACE, "aaaaaaaaa"), call(
        "search", {"query": "x\"y", "where": {"host": "h", "deep": True}, "tags": ["a", "ü"], "limit": 1e-7}, "bbbbbbbbb")]),
                   result("1", "aaaaaaaaa"), result("2", "bbbbbbbbb", "search"), assistant("Done"), user("More")],
                  {"tools": [WEATHER, SEARCH]}),
    "arguments as text": ([user("?"), assistant(None, tool_calls=[call("get_weather", "{\"place\": \"Orléans\"}")]),
                           result("1")], {"tools": [WEATHER]}),
    "no arguments": ([user("?"), assistant(None, tool_calls=[call("noop", {})]), result("", name="noop")], {"tools": [EMPTY_TOOL]}),
    "result as object": ([*ASKED, result({"temp": [1, 2.5, None, True]})], {"tools": [WEATHER]}),
    "result as parts": ([*ASKED, result(TEXTS), user("ok")], {"tools": [WEATHER]}),
    "result as a list": ([*ASKED, {"role": "tool", "content": [{"name": "get_weather", "output": {"t": 1}}]}], {"tools": [WEATHER]}),
    "results without ids": ([user("?"), {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]},
                             {"role": "tool", "content": "r"}], {}),
    "other call shapes": ([user("?"), assistant("", tool_calls=[{"name": "f", "arguments": {"a": None}, "id": "1"}]),
                           {"role": "ipython", "content": "r"}, {"role": "function", "name": "f", "content": "r"}], {"tools": [BARE_TOOL]}),
    "call with reasoning": ([user("?"), assistant("", reasoning_content="Look it up.", tool_calls=[call("get_weather", PLACE)]),
                             result("1")], {"tools": [WEATHER]}),
    "reasoning": [user("1"), assistant("2", reasoning_content="because\n"), user("3"), assistant("4", reasoning_content="so"), user("5")],
    "reasoning last": [user("1"), assistant("2", reasoning_content="because")],
    "other reasoning": [user("1"), assistant("2", reasoning="r", thinking="t", thoughts="u"), user("3"), assistant("4", thinking="v")],
    "think tags": [user("1"), assistant("<think>\nbecause\n</think>\n\n2"), user("/no_think 3"), assistant("a</think>b</think>c"), user("4 /think")],
    "thinking": ([user("1")], {"enable_thinking": True, "thinking": True, "reasoning_effort": "high"}),
    "no thinking": ([system("S"), user("1")], {"enable_thinking": False, "thinking": False, "reasoning_effort": "low"}),
    "documents": ([user("1"), assistant("2"), user("3")], {"documents": DOCUMENTS, "citation_mode": "fast"}),
    "controls": ([user("1")], {"controls": {"length": "long", "originality": "x"}, "reasoning": "off", "available_tools": [WEATHER]}),
    "variables": ([system("S"), user("1")], {
        "tools": [WEATHER], "date_string": "01 Jan 2030", "tools_in_user_message": False, "custom_tools": [SEARCH],
        "builtin_tools": ["brave_search", "code_interpreter"], "model_identity": "I am X.", "keep_cot": True, "xml_tools": [WEATHER],
        "python_tools": ["f"], "system_message": "sm", "add_vision_id": True, "clear_thinking": False, "preserve_thinking": True,
        "thinking_budget": 512, "safety_mode": "NONE", "developer_instructions": "d", "truncate_history_thinking": False}),
    "many": [system("S"), *[message for i in range(40) for message in (user(f"question {i}"), assistant(f"answer {i}"))], user("end")],
}


# Some templates must have tools, each in its own shape; this one has them all.
_ANY = {"name": "f", "description": "Does f.", "parameters": {"type": "object", "properties": {
    "x": {"type": "string", "description": "an x"}, "n": {"type": "integer", "description": "an n"}}, "required": ["x"]},
    "parameter_definitions": {"x": {"type": "str", "description": "an x", "required": True}}}
FURNISHED = {"tools": [{"type": "function", "function": _ANY, **_ANY}], "functions": "[f]", "datetime": "now"}


def chats():
    """(name, messages, variables), for each with and without a generation prompt, and with what some templates must have."""
    for name, chat in CHATS.items():
        messages, variables = chat if isinstance(chat, tuple) else (chat, {})
        yield f"{name}, prompt", messages, {"tools": None, **variables, "add_generation_prompt": True}
        yield f"{name}, no prompt", messages, {"tools": None, **variables, "add_generation_prompt": False}
        yield f"{name}, furnished", messages, {**variables, **FURNISHED, "add_generation_prompt": True}
