/* Text to token ids and back, for the vocabulary kinds of GGUF: BPE over bytes ("gpt2") or characters ("gemma4"), SentencePiece
 * BPE ("llama"), WordPiece ("bert"), Unigram ("t5"), "rwkv" and "plamo2". Results are those of llama.cpp, token for token; where
 * it only comes near a vocabulary's own definition, those of the definition: letters' case and marks in GPT-4o's pre-tokenizer
 * and its kin, numbers after other text in AFMoE's, wide spaces in DeepSeek LLM's, normalization and long words in WordPiece.
 * Control tokens' texts are never tokens of a text by themselves. Knows nothing of models: a vocabulary comes in as plain arrays.
 *
 * Threads: a tokenizer is immutable once created; every function but create and destroy may run on any number of threads. */
#ifndef LLMC_TOKENIZER_H
#define LLMC_TOKENIZER_H

#include "core/alloc.h"
#include "core/buffer.h"
#include "core/error.h"

enum {
    LLMC_VOCAB_MAX_TOKENS = 1 << 24,
    LLMC_VOCAB_MAX_MERGES = 1 << 25,
    LLMC_VOCAB_MAX_TEXT = 1 << 16,  /* bytes of one token's text */
    LLMC_VOCAB_MAX_SPECIAL = 256,   /* bytes of a control, unknown or user-defined token's text */
    LLMC_ENCODE_MAX_BYTES = 1 << 30 /* bytes of text in one call */
};

/* The numbers of GGUF's tokenizer.ggml.token_type; 0 is accepted and means a token that text never yields. */
enum {
    LLMC_TOKEN_UNDEFINED = 0,
    LLMC_TOKEN_NORMAL = 1,
    LLMC_TOKEN_UNKNOWN = 2,
    LLMC_TOKEN_CONTROL = 3,
    LLMC_TOKEN_USER_DEFINED = 4,
    LLMC_TOKEN_UNUSED = 5,
    LLMC_TOKEN_BYTE = 6
};

/* Special tokens that swallow the white space beside them: a fact that GGUF files do not hold, known by the model's name. */
typedef enum llmc_swallow {
    LLMC_SWALLOW_NONE,
    LLMC_SWALLOW_BEFORE_MASK, /* before "<mask>" or "[MASK]" */
    LLMC_SWALLOW_AFTER_PHI3   /* after each special token, but "<unk>", "<s>" and "<|endoftext|>" */
} llmc_swallow;

/* What create reads; borrowed until it returns. Special ids that are left out are those that the kind usually has. */
typedef struct llmc_vocab_source {
    const char *model; /* tokenizer.ggml.model */
    const char *pre;   /* pre-tokenizer, for "gpt2"; NULL: "default" */
    uint32_t n_tokens;
    const char *const *texts;
    const uint32_t *text_sizes;
    const float *scores;       /* for "llama", "t5" and "plamo2"; NULL: all 0 */
    const int32_t *types;      /* LLMC_TOKEN_*; NULL: all normal */
    uint32_t n_merges;         /* for "gpt2" and "gemma4" */
    const char *const *merges; /* "left right", best first */
    const uint32_t *merge_sizes;
    int32_t bos, eos, eot, eom, unk, pad, sep, cls;                       /* -1: absent; cls is another name of bos */
    int32_t add_bos, add_eos, add_space_prefix, remove_extra_whitespaces; /* -1: the default of the model type */
    int32_t lowercase, strip_accents;                                     /* for "bert"; -1: yes, and as lowercase */
    const uint8_t *charsmap; /* for "t5": tokenizer.ggml.precompiled_charsmap; NULL: none */
    size_t charsmap_size;
    llmc_swallow swallow;
} llmc_vocab_source;

typedef struct llmc_tokenizer llmc_tokenizer;

/* E_UNSUPPORTED (params tokenizer.ggml.model, tokenizer.ggml.pre) for kinds it does not know, never a guess; E_FORMAT with the
 * GGUF key as param for a vocabulary that contradicts itself: no tokens, two tokens of one text, a merge of absent tokens, a
 * special id or a type out of range, a text over the caps. Empty texts are renamed "[EMPTY_<id>]". Copies what it needs; env
 * must outlive the tokenizer. *out is NULL on failure. */
llmcall_status llmc_tokenizer_create(const llmc_env *env, const llmc_vocab_source *source, llmc_tokenizer **out,
                                     llmcall_error *error);
void llmc_tokenizer_destroy(llmc_tokenizer **tokenizer); /* sets it to NULL; NULL is fine */

/* Zero it before use. The caller owns the memory. */
typedef struct llmc_token_list {
    int32_t *ids;
    size_t n, capacity;
} llmc_token_list;
void llmc_token_list_free(const llmc_env *env, llmc_token_list *list);

enum {
    LLMC_ENCODE_SPECIAL =
        1, /* control and unknown tokens written in the text become those tokens; user-defined ones always do */
    LLMC_ENCODE_BOS_EOS = 2 /* add them where the vocabulary asks for it; CLS and SEP for WordPiece */
};

/* Appends to list with the tokenizer's env. Text that is not UTF-8: E_UTF8, with the byte offset in the message. What no token
 * covers: the unknown token, or nothing if there is none; BPE gives nothing for a byte that the vocabulary lacks. On failure list is as it was. Time is O(n log n) in the text's size, whatever the text. */
llmcall_status llmc_tokenizer_encode(const llmc_tokenizer *tokenizer, const char *text, size_t size, uint32_t flags,
                                     llmc_token_list *list, llmcall_error *error);

/* ---- Texts of others inside a trusted one ----
 *
 * A chat template is trusted to write control tokens; what a client says in its messages is not. So each of the client's texts
 * that names a control token is shielded before the template is rendered: copied with a shield character, one that none of the
 * texts contains, in every place where a control or unknown token's text begins, after its first character. User-defined
 * tokens need none: they are always parsed. Encoding drops the shields and finds no control token across one, so that such
 * a text gives the ids that it has without LLMC_ENCODE_SPECIAL, and only the template's own control tokens are parsed.
 * Covered: every control token's text that stands whole in one text of the client, overlapping ones too, and one that the
 * template would join across a shield. Not covered: a control token's text that no text of the client holds whole, and that
 * the template makes: of a text's end or start and its own characters ("<|" + role + "|>"), of two texts side by side, by
 * changing case, or by cutting something out of a text's middle.
 * A template that looks for a control token's text in a message does not find it. */

/* Whether a control or unknown token's text stands anywhere in text. Time is O(n). */
int llmc_tokenizer_names_control(const llmc_tokenizer *tokenizer, const char *text, size_t size);

/* Appends text to out with the shields in it; all of it, also where there is nothing to shield. text is UTF-8 and does not
 * contain the shield, a scalar value other than 0. 1, or 0 with out's status set. */
int llmc_tokenizer_shield(const llmc_tokenizer *tokenizer, const char *text, size_t size, uint32_t shield, llmc_buffer *out);

/* llmc_tokenizer_encode of a text with shields in it; every shield character is taken for one. shield 0: there are none. */
llmcall_status llmc_tokenizer_encode_shielded(const llmc_tokenizer *tokenizer, const char *text, size_t size, uint32_t shield,
                                              uint32_t flags, llmc_token_list *list, llmcall_error *error);

/* The token's bytes in a decoded text, which need not be whole characters; borrowed from the tokenizer, not NUL-terminated.
 * Empty for control, unknown and unused tokens and for ids out of range; never NULL. A generated text is the sequence of its
 * pieces: with SentencePiece the first one keeps its leading space, as in llama.cpp's llama_token_to_piece. */
const char *llmc_tokenizer_piece(const llmc_tokenizer *tokenizer, int32_t id, size_t *size);

/* The text as it stands in the vocabulary, NUL-terminated; empty for ids out of range; never NULL. */
const char *llmc_tokenizer_name(const llmc_tokenizer *tokenizer, int32_t id, size_t *size);

enum {
    LLMC_DECODE_SPECIAL = 1, /* control and unknown tokens are written by name */
    LLMC_DECODE_BOS_EOS = 2  /* drop the BOS and EOS that LLMC_ENCODE_BOS_EOS adds */
};

/* Appends the text of ids to out: their pieces, less the space that a SentencePiece vocabulary puts before the first. As
 * llama.cpp's llama_detokenize, except that it never removes spaces before punctuation. E_ARGUMENT for an id out of range;
 * on failure out may hold a part. */
llmcall_status llmc_tokenizer_decode(const llmc_tokenizer *tokenizer, const int32_t *ids, size_t n, uint32_t flags,
                                     llmc_buffer *out, llmcall_error *error);

int llmc_tokenizer_is_control(const llmc_tokenizer *tokenizer, int32_t id);
int llmc_tokenizer_is_eog(const llmc_tokenizer *tokenizer,
                          int32_t id); /* ends a generation: eos, eot, eom and their known names */

typedef enum llmc_special {
    LLMC_SPECIAL_BOS,
    LLMC_SPECIAL_EOS,
    LLMC_SPECIAL_EOT,
    LLMC_SPECIAL_EOM,
    LLMC_SPECIAL_UNK,
    LLMC_SPECIAL_PAD,
    LLMC_SPECIAL_SEP,
    LLMC_SPECIAL_COUNT
} llmc_special;
int32_t llmc_tokenizer_special(const llmc_tokenizer *tokenizer, llmc_special kind); /* -1: none */

uint32_t llmc_tokenizer_n_tokens(const llmc_tokenizer *tokenizer);
int llmc_tokenizer_add_bos(const llmc_tokenizer *tokenizer);
int llmc_tokenizer_add_eos(const llmc_tokenizer *tokenizer);
size_t llmc_tokenizer_bytes(const llmc_tokenizer *tokenizer); /* memory held */

#endif
