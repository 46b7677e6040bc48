/* One question, one streamed answer: minimal MODEL.gguf "PROMPT". */
#include <llmcall.h>
#include <stdio.h>

int main(int argc, char **argv) {
    if (argc != 3) return fprintf(stderr, "Usage: %s MODEL.gguf \"PROMPT\"\n", argv[0]), 2;
    llmcall_engine *engine = NULL;
    llmcall_call *call = NULL;
    LLMCALL_INIT(llmcall_error, error);
    LLMCALL_INIT(llmcall_model_options, model);
    LLMCALL_INIT(llmcall_message, message);
    LLMCALL_INIT(llmcall_event, event);
    model.path = argv[1];
    message.role = "user";
    message.content = argv[2];
    message.content_size = -1;
    llmcall_request request;
    llmcall_request_defaults(&request);
    request.messages = &message;
    request.n_messages = 1;
    request.temperature = 0;
    request.max_tokens = 256;

    llmcall_status status = llmcall_engine_open(NULL, &engine, &error);
    if (!status) status = llmcall_engine_load(engine, &model, &error);
    if (!status) status = llmcall_start(engine, &request, &call, &error);
    while (!status && llmcall_next(call, &event, -1) == LLMCALL_OK) {
        if (event.type == LLMCALL_EVENT_TEXT) fwrite(event.text, 1, event.text_size, stdout), fflush(stdout);
        if (event.type == LLMCALL_EVENT_ERROR) error = *event.error, status = error.status;
    }
    if (status) fprintf(stderr, "%s: %s\n", error.code, error.message);
    else putchar('\n');
    llmcall_close(&call);
    llmcall_engine_close(&engine);
    return status ? 1 : 0;
}
