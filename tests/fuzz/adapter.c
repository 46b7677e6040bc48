/* Any bytes as an adapter of a tiny model: loaded, used for one step if that works, unloaded. */
#include "tests/unit/adapter_bytes.h"
#include "tests/unit/tiny_gguf.h"

static llmcall_engine *open_engine(void) {
    llmcall_engine *engine = NULL;
    llmcall_engine_options options;
    llmcall_model_options model;
    tiny_gguf file = {0};
    llmcall_engine_options_defaults(&options);
    options.threads = 0;
    tiny_gguf_build(&file, &(tiny_gguf_spec){0});
    tiny_gguf_model_options(&file, &model);
    if (llmcall_engine_open(&options, &engine, NULL) || llmcall_engine_load(engine, &model, NULL)) __builtin_trap();
    tiny_gguf_free(&file);
    return engine;
}

static void use(llmcall_engine *engine) {
    static const int32_t tokens[] = {1, 2, 3};
    llmcall_request request;
    llmcall_call *call = NULL;
    llmcall_request_defaults(&request);
    request.tokens = tokens;
    request.n_tokens = 3;
    request.max_tokens = 1;
    request.adapter = "any";
    if (llmcall_start(engine, &request, &call, NULL)) __builtin_trap();
    for (int32_t busy = 1; busy;) {
        if (llmcall_engine_step(engine, &busy, NULL)) __builtin_trap();
    }
    llmcall_close(&call);
    if (llmcall_engine_unload_adapter(engine, NULL, "any", NULL)) __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static llmcall_engine *engine;
    if (!engine) engine = open_engine();
    gguf_bytes file = {.data = (uint8_t *)(uintptr_t)data, .size = size};
    llmcall_reader reader = gguf_bytes_reader(&file);
    llmcall_adapter_options options = adapter_options(&reader, "any");
    LLMCALL_INIT(llmcall_error, error);
    llmcall_status status = llmcall_engine_load_adapter(engine, &options, &error);
    if (status != error.status || (status && !error.message[0])) __builtin_trap();
    if (!status) use(engine);
    return 0;
}
