"""libllmcall from Python, by ctypes: an engine, its models, and completions shaped as the openai package's.

    import llmcall
    engine = llmcall.Engine("model.gguf")
    reply = engine.chat.completions.create(messages=[{"role": "user", "content": "Hello"}], max_tokens=32)
    print(reply.choices[0].message.content)
"""

from ._completions import ChatStream
from ._engine import Engine, Grammar, estimate, render_template, version
from ._types import Error, Record, Status

__all__ = ["ChatStream", "Engine", "Error", "Grammar", "Record", "Status", "estimate", "render_template", "version"]
__version__ = version()
