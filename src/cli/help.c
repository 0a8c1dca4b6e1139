/* SPDX-License-Identifier: MIT */
/* help.c - help texts, printed from the command rows: `neural help`, `neural CMD --help`, shell
 * completion. */
#include "base/config.h"
#include "cli/cli.h"

#include <string.h>

void nn_help_all(FILE *out) {
    fputs("Neural " NN_VERSION ": from a network in ten lines to a trained and served model.\n\n"
          "usage: neural COMMAND [arguments]\n",
          out);
    const char *group = "";
    for (unsigned i = 0; nn_command_at(i); i++) {
        const nn_command_row *r = nn_command_at(i);
        if (strcmp(group, r->group) != 0) fprintf(out, "\n%s\n", group = r->group);
        fprintf(out, "  %-12s %s\n", r->name, r->summary);
    }
    fputs(
        "\n`neural COMMAND --help` explains a command; `neural reference` documents the language.\n",
        out);
}

/* The settings that have a short flag; every other one is --KEY. */
static void print_settings(FILE *out) {
    fprintf(out, "      %-26s %s\n", "--config FILE", "settings from a YAML file");
    for (int i = 0; i < NN_CFG_COUNT; i++) {
        const nn_cfg_row *r = nn_config_row(i);
        if (!r->flag[0]) continue;
        char left[64];
        snprintf(left, sizeof left, "--%s %s", r->flag, r->type == NN_CFG_BOOL ? "" : "VALUE");
        fprintf(out, "      %-26s %s\n", left, r->help);
    }
}

static void print_options(const nn_command *c, FILE *out) {
    fputs("\noptions\n", out);
    for (const nn_option *o = c->options; o && o->name; o++) {
        char left[64];
        snprintf(left, sizeof left, "%c%c%s--%s%s%s", o->letter ? '-' : ' ',
                 o->letter ? o->letter : ' ', o->letter ? ", " : "  ", o->name, o->value ? " " : "",
                 o->value ? o->value : "");
        fprintf(out, "  %-30s %s%s%s%s\n", left, o->help, o->words ? " (" : "",
                o->words ? o->words : "", o->words ? ")" : "");
    }
    if (c->own_flags) print_settings(out);
    fprintf(out, "  %-30s %s\n", "-h, --help", "print this");
}

void nn_help_command(const nn_command_row *row, FILE *out) {
    const nn_command *c = row->command;
    fprintf(out, "neural %s: %s\n\nusage: neural %s %s%s[options]\n", row->name, row->summary,
            row->name, c->operands ? c->operands : "", c->operands ? " " : "");
    if (c->description) fprintf(out, "\n%s\n", c->description);
    print_options(c, out);
    if (c->examples) fprintf(out, "\nexamples\n%s\n", c->examples);
}

static nn_status run_help(const nn_args *a, nn_err *err) {
    if (!a->n_operands) {
        nn_help_all(stdout);
        return NN_OK;
    }
    const nn_command_row *row = nn_command_find(a->operands[0]);
    if (!row) return nn_command_unknown(a->operands[0], err);
    nn_help_command(row, stdout);
    return NN_OK;
}

const nn_command nn_command_help = {.operands = "[COMMAND]", .max_operands = 1, .run = run_help};

static void each_word(const char *words, const char *format) {
    for (const char *w = words; w && *w; w += *w == '|') {
        size_t n = strcspn(w, "|");
        char word[64];
        snprintf(word, sizeof word, "%.*s", (int)n, w);
        printf("%s%s", format, word);
        w += n;
    }
}

/* The flags of the settings, for commands that take them. */
static void complete_settings(const char *prefix) {
    printf("%sconfig", prefix);
    for (int i = 0; i < NN_CFG_COUNT; i++)
        if (nn_config_row(i)->flag[0]) printf("%s%s", prefix, nn_config_row(i)->flag);
}

static void complete_bash(void) {
    puts("# bash completion for neural: source <(neural completion bash)\n"
         "_neural() {\n"
         "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words=\n"
         "    case ${COMP_WORDS[1]}:$prev in");
    for (unsigned i = 0; nn_command_at(i); i++) {
        const nn_command_row *r = nn_command_at(i);
        for (const nn_option *o = r->command->options; o && o->name; o++) {
            if (!o->words) continue;
            printf("        %s:--%s) words=\"", r->name, o->name);
            each_word(o->words, " ");
            puts("\" ;;");
        }
    }
    puts("    esac\n    if [ -z \"$words\" ]; then case $COMP_CWORD:${COMP_WORDS[1]} in");
    fputs("        1:*) words=\"", stdout);
    for (unsigned i = 0; nn_command_at(i); i++) printf("%s ", nn_command_at(i)->name);
    puts("\" ;;");
    for (unsigned i = 0; nn_command_at(i); i++) {
        const nn_command_row *r = nn_command_at(i);
        printf("        *:%s) words=\"--help", r->name);
        for (const nn_option *o = r->command->options; o && o->name; o++) printf(" --%s", o->name);
        if (r->command->own_flags) complete_settings(" --");
        puts("\" ;;");
    }
    puts(
        "    esac; fi\n"
        "    case $cur in\n"
        "        -*) COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")) ;;\n"
        "        *) COMPREPLY=($(compgen -W \"$([ \"${prev#--}\" != \"$prev\" ] || [ $COMP_CWORD = 1 ] && echo $words)\" -- \"$cur\")"
        " $(compgen -f -- \"$cur\")) ;;\n"
        "    esac\n"
        "}\n"
        "complete -o filenames -F _neural neural");
}

/* Text within single quotes; zsh also reads brackets in a description. */
static void put_quoted(const char *text, bool zsh) {
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", stdout);
        else if (zsh && strchr("[]\\", *text))
            printf("\\%c", *text);
        else
            putchar(*text);
    }
}

static void complete_zsh(void) {
    puts(
        "#compdef neural\n# zsh completion for neural: neural completion zsh > \"${fpath[1]}/_neural\"\n"
        "_neural() {\n    local -a commands\n    commands=(");
    for (unsigned i = 0; nn_command_at(i); i++) {
        printf("        '%s:", nn_command_at(i)->name);
        put_quoted(nn_command_at(i)->summary, true);
        puts("'");
    }
    puts(
        "    )\n    if (( CURRENT == 2 )); then _describe command commands; return; fi\n    case $words[2] in");
    for (unsigned i = 0; nn_command_at(i); i++) {
        const nn_command_row *r = nn_command_at(i);
        printf("        %s) _arguments '--help[print help]'", r->name);
        for (const nn_option *o = r->command->options; o && o->name; o++) {
            printf(" '%s--%s[", o->value && strstr(o->value, "...") ? "*" : "", o->name);
            put_quoted(o->help, true);
            putchar(']');
            if (o->value) printf(":%s:", o->value);
            if (o->words) {
                putchar('(');
                each_word(o->words, " ");
                putchar(')');
            } else if (o->value) {
                fputs("_files", stdout);
            }
            putchar('\'');
        }
        puts(" '*:file:_files' ;;");
    }
    puts("    esac\n}\n_neural \"$@\"");
}

static void complete_fish(void) {
    puts(
        "# fish completion for neural: neural completion fish > ~/.config/fish/completions/neural.fish");
    for (unsigned i = 0; nn_command_at(i); i++) {
        const nn_command_row *r = nn_command_at(i);
        printf("complete -c neural -n __fish_use_subcommand -a %s -d '", r->name);
        put_quoted(r->summary, false);
        puts("'");
        for (const nn_option *o = r->command->options; o && o->name; o++) {
            printf("complete -c neural -n '__fish_seen_subcommand_from %s' -l %s -d '", r->name,
                   o->name);
            put_quoted(o->help, false);
            putchar('\'');
            if (o->value) fputs(" -r", stdout);
            if (o->words) {
                fputs(" -f -a '", stdout);
                each_word(o->words, " ");
                putchar('\'');
            }
            putchar('\n');
        }
    }
}

static nn_status run_completion(const nn_args *a, nn_err *err) {
    static const struct {
        const char *name;
        void (*print)(void);
    } shells[] = {
        {"bash", complete_bash},
        {"zsh",  complete_zsh },
        {"fish", complete_fish}
    };
    for (size_t i = 0; i < sizeof shells / sizeof shells[0]; i++) {
        if (strcmp(shells[i].name, a->operands[0]) != 0) continue;
        shells[i].print();
        return NN_OK;
    }
    return nn_fail(err, NN_E_USAGE, "completion: shells are bash, zsh and fish, got '%.40s'",
                   a->operands[0]);
}

const nn_command nn_command_completion = {.operands = "SHELL",
                                          .min_operands = 1,
                                          .max_operands = 1,
                                          .run = run_completion,
                                          .examples = "  source <(neural completion bash)"};
