/* SPDX-License-Identifier: MIT */
/* program_gen.h - programs by chance: the grammar as strings, comments and line breaks strewn
 * between the tokens. Nearly all of them parse; which do not is for the reader to find out. */
#ifndef PROGRAM_GEN_H
#define PROGRAM_GEN_H
#include "base/buf.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

/* A capital letter on its own is a rule; of its alternatives the first ends soonest.
 * '~' is a blank inside of a token. */
static const char *const gen_rules[] = {
    ['P' - 'A'] = "M N|M D N|M C N|M N Z N|M R|M D C D Z N R|M N Z Z D",
    ['M' - 'A'] = "define Nop { T Z T }",
    ['D' - 'A'] = "define Foo { T Z }|define Foo ( Q ) { T Z T }|define Foo ( ) { }",
    ['Q' - 'A'] = "p|$ p|p = V|p : V , q|$ p = V , longer_name = V , Q",
    ['N' - 'A'] =
        "network Net { B }|Model { B }|MODEL 'a\"b' { B }|network Net { Z S Z layers : B }",
    ['B' - 'A'] = "|S Z B|T Z B|S Z B|T Z B|layers : T Z T Z B|layers : [ T Z T Z ] Z B|"
                  "define Bar { T } Z B|layers : T Z T Z S Z T Z B",
    ['Z' - 'A'] = "|||;|,|; ;",
    ['T' - 'A'] =
        "Dense ( )|Dense ( E )|Dense ( E ) * 2|Dense ( E ) @ 'cuda:0' * H|Nop ;|Nop|Nop ; "
        "( T Z )|( T Z T ) * 2|( T )|left : { T Z T }|right : { T Z }|Res { T Z T }|"
        "Res ( E ) { T }|Res ( E ) @ cpu { T Z T } * $ n|H|Dense ( E )|Dense ( E )",
    ['E' - 'A'] = "V|V , E|a = V , E|units : V , E|kernel_size = V|V ,|V , V , V , V , V",
    ['V' - 'A'] =
        "1|-~3|1e-4|.5|'x'|\"a\\\"b\"|'q\"q'|'it\\'s'|\"tab\\t\\n\\\\\"|relu|TRUE|null|$ p|"
        "( V , V )|( V , )|( V )|( )|[ V , V , ]|[ ]|{ G }|H|Dense ( E )|LSTM ( E ) { T }|"
        "Seq { T Z T }|\"Adam(0.1,b=2)\"|a_rather_long_name_of_some_initializer|"
        "\"\xc3\xa4\xe6\x97\xa5\"",
    ['G' - 'A'] = "|a : V Z G|b = V , 2 , x Z G|loss : 'Huber(1)' Z G|device : cpu",
    ['H' - 'A'] =
        "HPO ( range ( 1 , 5 ) )|HPO ( choice ( K ) )|HPO ( range ( 1 , 5 , step = 2 , ) )|"
        "HPO ( log_range ( 1e-4 , 0.1 ) )",
    ['K' - 'A'] =
        "1|V , K|Dense ( E ) * 2 , K|V|( Dense ( E ) Z T )|left : { T Z T } , ( ( Nop * 2 , ( T ) ) "
        "Dense ( ) Z Nop @ 'cpu' Z Nop Z ) , K|( Dense ( ) , Nop ; ( T ) )",
    ['S' - 'A'] = "loss : mse|input : ( 28 , 1 )|input : ( 3 ) , [ None , 4 ]|"
                  "input : { a : ( 1 ) Z b : [ 2 ] Z }|loss : 'mse'|optimizer : Adam ( E )|"
                  "optimizer : \"SGD(0.1)\"|metrics : [ a , b ]|train { G }|training : { G }|"
                  "execute { device : 'cpu' }|framework : tf|epochs : 3|batch_size : 16 , 32|"
                  "compile { loss : mse Z metrics : [ a ] }|epochs : n",
    ['C' - 'A'] = "custom FooLayer|custom BarLayer ( Q ) -> ( 784 )|custom BazLayer ( a = V ) Z",
    ['R' - 'A'] = "research Paper { title 'x' ; I }|research { I }",
    ['I' - 'A'] = "|metrics { acc : 0.9 Z loss : 1 } I|notes : a , 'b' , c Z I|"
                  "references : { paper : 'p' Z paper : \"q\" } I|author [ a , 'b' ] I",
};

typedef struct gen {
    uint64_t state;
    const unsigned char *bytes; /* NULL: by the state; else choices are read from here */
    size_t n;
    nn_buf *out;
    int depth;
} gen;

static inline unsigned gen_choose(gen *g, unsigned n) {
    if (g->bytes) {
        if (!g->n) return 0;
        g->n--;
        return *g->bytes++ % n;
    }
    g->state = g->state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(g->state >> 33) % n;
}

static inline void gen_space(gen *g) {
    static const char *const spaces[] = {
        " ",
        " ",
        "",
        "",
        "\n",
        "\n    ",
        "\n\n\n  ",
        " # line \n",
        "\t",
        "\r\n",
        " // b\n",
        "/**/",
        " /* block */",
        "\n# own\n\n  ",
        "\r",
        "\n  /* a\r\n   b */\n",
    };
    enum { N_SPACES = sizeof spaces / sizeof *spaces };
    unsigned k = gen_choose(g, 3) ? gen_choose(g, 4) : gen_choose(g, N_SPACES);
    nn_buf_puts(g->out, spaces[k]);
}

static inline void gen_token(gen *g, const char *p, size_t n) {
    gen_space(g);
    char last = g->out->n ? g->out->p[g->out->n - 1] : ' ';
    if (!strchr(" \n\r\t(){}[],:;=*@$/", last) && !strchr("(){}[],:;=*@$", *p))
        nn_buf_putc(g->out, ' ');
    for (size_t i = 0; i < n; i++) nn_buf_putc(g->out, p[i] == '~' ? ' ' : p[i]);
}

static inline void gen_rule(gen *g, int rule) {
    const char *alt = gen_rules[rule - 'A'], *bar;
    unsigned n = 1;
    for (const char *p = alt; *p; p++) n += *p == '|';
    unsigned k = g->depth > 7 || g->out->n > 6000 ? 0 : gen_choose(g, n);
    while (k--) alt = strchr(alt, '|') + 1;
    bar = strchrnul(alt, '|');
    g->depth++;
    while (alt < bar) {
        size_t len = strcspn(alt, " |");
        if (len == 1 && isupper((unsigned char)*alt))
            gen_rule(g, *alt);
        else if (len)
            gen_token(g, alt, len);
        alt += len + (alt[len] == ' ');
    }
    g->depth--;
}
#endif
