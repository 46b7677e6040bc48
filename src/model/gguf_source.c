/* Reading model files with pread, never mmap: a file that shrinks while it is read is an error and not a SIGBUS. */
#define _GNU_SOURCE
#include "model/gguf_source.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static llmcall_status fail_open(const char *path, int number, llmcall_error *error) {
    char text[128];
    llmcall_status status = number == ENOENT || number == ENOTDIR ? LLMCALL_E_NOT_FOUND
                            : number == ENOMEM                    ? LLMCALL_E_NO_MEMORY
                                                                  : LLMCALL_E_IO;
    return llmc_fail(error, status, NULL, "path", "cannot open '%s': %s", path, strerror_r(number, text, sizeof text));
}

llmcall_status llmc_gguf_source_open(llmc_gguf_source *source, const char *path, llmcall_error *error) {
    *source = (llmc_gguf_source){.file = -1};
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* so that a named pipe does not block */
    if (file < 0) return fail_open(path, errno, error);
    struct stat facts;
    if (fstat(file, &facts) != 0 || !S_ISREG(facts.st_mode)) {
        close(file);
        return llmc_fail(error, LLMCALL_E_IO, NULL, "path", "'%s' is not a regular file", path);
    }
    source->file = file;
    source->size = (uint64_t)facts.st_size;
    return LLMCALL_OK;
}

llmcall_status llmc_gguf_source_of_reader(llmc_gguf_source *source, const llmcall_reader *reader, llmcall_error *error) {
    *source = (llmc_gguf_source){.file = -1, .reader = *reader, .size = reader->size};
    if (!reader->read) return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "readers.read", "a reader has no read function");
    return LLMCALL_OK;
}

void llmc_gguf_source_close(llmc_gguf_source *source) {
    if (source->file >= 0) close(source->file);
    source->file = -1;
}

static llmcall_status read_file(int file, uint64_t offset, uint8_t *dst, size_t size, const char *what, llmcall_error *error) {
    const size_t most = (size_t)1 << 30; /* what one pread surely takes */
    while (size > 0) {
        ssize_t n = pread(file, dst, size < most ? size : most, (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        char text[128];
        if (n < 0)
            return llmc_fail(error, LLMCALL_E_IO, NULL, what, "reading %zu bytes at offset %" PRIu64 " failed: %s", size,
                             offset, strerror_r(errno, text, sizeof text));
        if (n == 0)
            return llmc_fail(error, LLMCALL_E_IO, NULL, what,
                             "the file ended at offset %" PRIu64 ": it became shorter while open", offset);
        dst += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return LLMCALL_OK;
}

llmcall_status llmc_gguf_source_read(const llmc_gguf_source *source, uint64_t offset, void *dst, size_t size, const char *what,
                                     llmcall_error *error) {
    if (size > source->size || offset > source->size - size)
        return llmc_fail(error, LLMCALL_E_IO, NULL, what, "%zu bytes at offset %" PRIu64 " are beyond the end of the file",
                         size, offset);
    if (size == 0) return LLMCALL_OK;
    if (source->file >= 0) return read_file(source->file, offset, dst, size, what, error);
    if (source->reader.read(source->reader.user, offset, dst, size) == 0) return LLMCALL_OK;
    return llmc_fail(error, LLMCALL_E_IO, NULL, what, "the reader failed for %zu bytes at offset %" PRIu64, size, offset);
}
