/* The table of pre-tokenizers, as llama.cpp names them, and the walk's data. */
#include "tokenizer/pretokenize.h"

#include <string.h>

#include "core/alloc.h"
#include "tokenizer/rules.h"

static const llmc_pre_kind kinds[] = {
    {"gpt-2", {llmc_rule_gpt2}, 0, 0},
    {"phi-2", {llmc_rule_gpt2}, 0, 0},
    {"jina-es", {llmc_rule_gpt2}, 0, 0},
    {"jina-de", {llmc_rule_gpt2}, 0, 0},
    {"jina-v2-es", {llmc_rule_gpt2}, 0, 0},
    {"jina-v2-de", {llmc_rule_gpt2}, 0, 0},
    {"jina-v1-en", {llmc_rule_gpt2}, 0, 0},
    {"jina-v2-code", {llmc_rule_gpt2}, 0, 0},
    {"roberta-bpe", {llmc_rule_gpt2}, 0, 0},
    {"modern-bert", {llmc_rule_gpt2}, 0, 0},
    {"gigachat", {llmc_rule_gpt2}, 0, 0},
    {"a.x-4.0", {llmc_rule_gpt2}, 0, 0},
    {"mellum", {llmc_rule_gpt2}, 0, 0},
    {"mpt", {llmc_rule_gpt2}, 0, 0},
    {"olmo", {llmc_rule_gpt2}, 0, 0},
    {"jais", {llmc_rule_gpt2}, 0, 0},
    {"trillion", {llmc_rule_gpt2}, 0, 0},
    {"granite-docling", {llmc_rule_gpt2}, 0, 0},
    {"exaone4", {llmc_rule_gpt2}, 0, 0},
    {"smollm", {llmc_rule_digits_gpt2}, 0, 0},
    {"starcoder", {llmc_rule_digits_gpt2}, 0, 0},
    {"refact", {llmc_rule_digits_gpt2}, 0, 0},
    {"command-r", {llmc_rule_digits_gpt2}, 0, 0},
    {"codeshell", {llmc_rule_digits_gpt2}, 0, 0},
    {"exaone", {llmc_rule_digits_gpt2}, 0, 0},
    {"minerva-7b", {llmc_rule_digits_gpt2}, 0, 0},
    {"mellum2", {llmc_rule_digits_gpt2}, 0, 0},
    {"falcon", {llmc_cut_falcon_marks, llmc_rule_gpt2, llmc_cut_3_digits}, 0, 0},
    {"default", {llmc_cut_default_marks, llmc_rule_gpt2, llmc_cut_numbers, llmc_cut_3_digits}, 0, 0},
    {"chameleon", {llmc_cut_sentinels, llmc_cut_images, llmc_cut_tabs, llmc_cut_number, llmc_cut_mark, llmc_rule_gpt2}, 0, 1},
    {"llama3", {llmc_rule_llama3}, 1, 1},
    {"llama-v3", {llmc_rule_llama3}, 1, 1},
    {"llama-bpe", {llmc_rule_llama3}, 1, 1},
    {"falcon3", {llmc_rule_llama3}, 1, 1},
    {"falcon-h1", {llmc_rule_llama3}, 1, 1},
    {"pixtral", {llmc_rule_llama3}, 1, 1},
    {"midm-2.0", {llmc_rule_llama3}, 1, 1},
    {"lfm2", {llmc_rule_llama3}, 1, 1},
    {"jina-v5-nano", {llmc_rule_llama3}, 1, 1},
    {"dbrx", {llmc_rule_llama3}, 0, 0},
    {"smaug-bpe", {llmc_rule_llama3}, 0, 0},
    {"chatglm-bpe", {llmc_rule_llama3}, 0, 0},
    {"glm4", {llmc_rule_llama3}, 1, 0},
    {"glm5", {llmc_rule_llama3}, 1, 0},
    {"jais-2", {llmc_rule_llama3, llmc_cut_wide_blanks}, 0, 0},
    {"minicpm5", {llmc_cut_3_numbers, llmc_rule_long_numbers}, 1, 0},
    {"qwen2", {llmc_rule_qwen2}, 0, 0},
    {"deepseek-r1-qwen", {llmc_rule_qwen2}, 0, 0},
    {"kormo", {llmc_rule_qwen2}, 0, 0},
    {"f2llmv2", {llmc_rule_qwen2}, 0, 0},
    {"megrez", {llmc_rule_qwen2}, 0, 0},
    {"stablelm2", {llmc_rule_qwen2}, 0, 0},
    {"hunyuan", {llmc_rule_qwen2}, 0, 0},
    {"solar-open", {llmc_rule_qwen2}, 0, 0},
    {"grok-2", {llmc_rule_qwen2}, 0, 0},
    {"bailingmoe", {llmc_rule_qwen2}, 0, 0},
    {"bailingmoe2", {llmc_rule_qwen2}, 0, 0},
    {"llada-moe", {llmc_rule_qwen2}, 0, 0},
    {"qwen35", {llmc_rule_qwen35}, 0, 0},
    {"laguna", {llmc_cut_lines, llmc_rule_qwen2}, 0, 0},
    {"ufakzeka", {llmc_rule_no_suffixes}, 0, 0},
    {"seed-coder", {llmc_rule_seed_coder}, 0, 0},
    {"exaone-moe", {llmc_rule_exaone_moe}, 0, 0},
    {"gpt-4o", {llmc_rule_gpt4o}, 0, 0},
    {"llama4", {llmc_rule_gpt4o}, 0, 0},
    {"kanana2", {llmc_rule_gpt4o}, 0, 0},
    {"talkie", {llmc_rule_gpt4o}, 0, 0},
    {"minimax-m2", {llmc_rule_gpt4o}, 0, 0},
    {"granite-embed-multi-97m", {llmc_rule_gpt4o}, 1, 0},
    {"tiny_aya", {llmc_cut_whole_numbers, llmc_cut_odd_digit, llmc_cut_digit_threes, llmc_rule_gpt4o}, 0, 0},
    {"cohere2moe", {llmc_cut_whole_numbers, llmc_cut_odd_digit, llmc_cut_digit_threes, llmc_rule_gpt4o}, 0, 0},
    {"tekken", {llmc_rule_tekken}, 1, 1},
    {"youtu", {llmc_cut_youtu, llmc_rule_youtu}, 1, 0},
    {"kimi-k2", {llmc_rule_kimi}, 0, 0},
    {"deepseek-v3", {llmc_cut_3_numbers, llmc_cut_kana, llmc_rule_deepseek3}, 0, 0},
    {"hunyuan-dense", {llmc_cut_3_numbers, llmc_cut_kana, llmc_rule_deepseek3}, 0, 0},
    {"joyai-llm", {llmc_cut_3_numbers, llmc_cut_kana, llmc_rule_deepseek3}, 0, 0},
    {"hy_v4", {llmc_cut_3_numbers, llmc_cut_kana, llmc_rule_deepseek3}, 0, 0},
    {"spark2_5", {llmc_cut_3_numbers, llmc_cut_kana, llmc_rule_spark, llmc_cut_number}, 0, 0},
    {"afmoe", {llmc_cut_numbers, llmc_cut_odd_number, llmc_cut_threes, llmc_cut_asian, llmc_rule_deepseek3}, 0, 0},
    {"deepseek-llm",
     {llmc_cut_breaks, llmc_cut_cased_letters, llmc_cut_wide_marks, llmc_cut_end_blanks, llmc_cut_ideographs, llmc_cut_numbers},
     0,
     0},
    {"deepseek-coder", {llmc_cut_breaks, llmc_cut_letters, llmc_cut_marks, llmc_cut_ideographs, llmc_cut_number}, 0, 0},
    {"poro-chat", {llmc_cut_sentences}, 0, 0},
    {"bloom", {llmc_cut_sentences}, 0, 0},
    {"gpt3-finnish", {llmc_cut_sentences}, 0, 0},
    {"viking", {llmc_cut_sentences, llmc_cut_number}, 0, 0},
    {"superbpe", {llmc_cut_numbers, llmc_cut_before_threes, llmc_cut_between_threes}, 0, 0},
};

const llmc_pre_kind *llmc_pre_at(size_t index) {
    return index < sizeof kinds / sizeof *kinds ? &kinds[index] : NULL;
}

const llmc_pre_kind *llmc_pre_find(const char *name) {
    for (size_t i = 0; name && i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].name, name) == 0) return &kinds[i];
    return NULL;
}

llmcall_status llmc_pretokenizer_init(llmc_pretokenizer *p, const llmc_env *env, const llmc_pre_kind *kind,
                                      llmcall_error *error) {
    p->kind = kind;
    p->n_rules = 0;
    while (p->n_rules < LLMC_PRE_RULES && kind->rules[p->n_rules]) p->n_rules++;
    p->classes = llmc_alloc_array(env, LLMC_CLASSED, sizeof *p->classes);
    if (!p->classes) return llmc_fail_memory(error, "the pre-tokenizer");
    llmc_classes_fill(p->classes);
    return LLMCALL_OK;
}

void llmc_pretokenizer_free(llmc_pretokenizer *p, const llmc_env *env) {
    llmc_free(env, p->classes);
    p->classes = NULL;
}

size_t llmc_pretokenizer_bytes(const llmc_pretokenizer *p) {
    return p->classes ? LLMC_CLASSED * sizeof *p->classes : 0;
}
