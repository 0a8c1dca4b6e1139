/* SPDX-License-Identifier: MIT */
/* Schemas: the violations of rest-api.md section 5, presets, warnings, and the printed form. */
#include "base/schema.h"
#include "t.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const nn_member inner_fields[] = {
    {"epochs",       NN_INTEGER, .preset = "5", .min = 1, .max = 100, .help = "passes"},
    {"rate", NN_NUMBER, .min = 0, .max = INFINITY, .help = "step"},
    {"share",    NN_NUMBER, .min = 0, .max = 1, .above_min = true, .below_max = true,
     .help = "between"},
    {0             },
};
static const nn_schema inner = {.name = "Inner", .fields = inner_fields, .help = "inner"};
static const nn_member outer_fields[] = {
    {"name",                  NN_STRING, .required = true, .min = 1, .max = 5, .help = "a name"},
    {"backend",       NN_STRING, .one_of = "tensorflow pytorch onnx", .preset = "tensorflow",
     .help = "who"},
    {"config",               NN_OBJECT, .of = &inner, .help = "how"},
    {"tags",                       NN_ARRAY, .items = NN_STRING, .min = 0, .max = 2, .help = "labels"},
    {"stages",        NN_ARRAY, .items = NN_OBJECT, .of = &inner, .help = "each"},
    {"limits", NN_MAP, .items = NN_INTEGER, .help = "by name"},
    {"flag",                       NN_BOOLEAN, .preset = "true", .help = "a flag"},
    {"note",NN_STRING, .nullable = true, .help = "may be null"},
    {"id",          NN_STRING, .format = "uuid", .help = "an id"},
    {"any",                  NN_ANY, .help = "anything"},
    {0    },
};
static const nn_schema outer = {.name = "Outer", .fields = outer_fields, .help = "outer"};

/* "field:type field:type" of all violations, then '|' and the warnings. */
static const char *check(const char *text, nn_json **ret) {
    static char out[4096];
    nn_err err = {0};
    NN_JSON *v = NULL, *errors = nn_json_new_array(), *warnings = nn_json_new_array();
    out[0] = 0;
    if (text) CHECK_OK(nn_json_parse(text, strlen(text), &v, &err), &err);
    nn_status s = nn_schema_check(&outer, v, "body", errors, warnings, &err);
    assert_int_equal(s == NN_OK, nn_json_size(errors) == 0);
    for (size_t i = 0; i < nn_json_size(errors); i++) {
        const nn_json *e = nn_json_at(errors, i);
        size_t n = strlen(out);
        snprintf(out + n, sizeof out - n, "%s%s:%s", n ? " " : "",
                 nn_json_str(nn_json_get(e, "field"), "?"),
                 nn_json_str(nn_json_get(e, "type"), "?"));
    }
    for (size_t i = 0; i < nn_json_size(warnings); i++) {
        size_t n = strlen(out);
        snprintf(out + n, sizeof out - n, "|%s", nn_json_str(nn_json_at(warnings, i), "?"));
    }
    if (ret && v) nn_schema_fill(&outer, v);
    if (ret) *ret = nn_json_ref(v);
    return out;
}

TEST(violations_are_reported_together) {
    static const char *const rows[][2] = {
        {"{\"name\":\"n\"}",                                                                       ""                                       },
        {"{}",                                                                                     "name:missing"                           },
        {"[]",                                                                                     ":wrong_type"                            },
        {"{\"name\":7,\"backend\":\"cobol\",\"config\":{\"epochs\":0,\"rate\":\"x\"},\"flag\":1}",
         "name:wrong_type backend:unknown_value config.epochs:out_of_range config.rate:wrong_type flag:wrong_type"                          },
        {"{\"name\":\"\"}",                                                                        "name:blank"                             },
        {"{\"name\":\"  \"}",                                                                      "name:blank"                             },
        {"{\"name\":\"123456\"}",                                                                  "name:too_long"                          },
        {"{\"name\":\"n\",\"tags\":[\"a\",\"b\",\"c\"]}",                                          "tags:too_many"                          },
        {"{\"name\":\"n\",\"tags\":[\"a\",2]}",                                                    "tags.1:wrong_type"                      },
        {"{\"name\":\"n\",\"stages\":[{},{\"epochs\":101},3]}",
         "stages.1.epochs:out_of_range stages.2:wrong_type"                                                                                 },
        {"{\"name\":\"n\",\"limits\":{\"a\":1,\"b\":\"2\"}}",                                      "limits.b:wrong_type"                    },
        {"{\"name\":\"n\",\"config\":{\"epochs\":2.5}}",                                           "config.epochs:wrong_type"               },
        {"{\"name\":\"n\",\"config\":{\"epochs\":2.0}}",                                           ""                                       },
        {"{\"name\":\"n\",\"config\":{\"rate\":-1}}",                                              "config.rate:out_of_range"               },
        {"{\"name\":\"n\",\"config\":{\"share\":0}}",                                              "config.share:out_of_range"              },
        {"{\"name\":\"n\",\"config\":{\"share\":1}}",                                              "config.share:out_of_range"              },
        {"{\"name\":\"n\",\"config\":{\"share\":0.5}}",                                            ""                                       },
        {"{\"name\":\"n\",\"config\":{\"epoch\":1}}",
         "|unknown field 'config.epoch' was ignored, did you mean 'config.epochs'?"                                                         },
        {"{\"name\":\"n\",\"id\":\"nope\"}",                                                       "id:bad_format"                          },
        {"{\"name\":\"n\",\"id\":\"0199b1c2-7d3e-7abc-8def-0123456789ab\"}",                       ""                                       },
        {"{\"name\":null}",                                                                        "name:wrong_type"                        },
        {"{\"name\":\"n\",\"config\":null,\"note\":null,\"any\":[{}]}",                            ""                                       },
        {"{\"name\":\"n\",\"backnd\":1}",
         "|unknown field 'backnd' was ignored, did you mean 'backend'?"                                                                     },
        {"{\"name\":\"n\",\"config\":{\"zzz\":1}}",                                                "|unknown field 'config.zzz' was ignored"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_string_equal(check(rows[i][0], NULL), rows[i][1]);
    assert_string_equal(check(NULL, NULL), ":missing");
}

TEST(presets_fill_what_is_absent) {
    NN_JSON *v = NULL;
    check("{\"name\":\"n\",\"backend\":null,\"config\":{}}", &v);
    assert_string_equal(nn_json_str(nn_json_get(v, "backend"), ""), "tensorflow");
    assert_int_equal(nn_json_int(nn_json_get(nn_json_get(v, "config"), "epochs"), 0), 5);
    CHECK(nn_json_bool(nn_json_get(v, "flag"), false));
    CHECK(!nn_json_get(v, "tags"));
}

TEST(location_of_a_violation) {
    NN_JSON *errors = nn_json_new_array();
    NN_BUF out = {0};
    nn_schema_violation(errors, "body", "layers.3.units", "missing", "is %s", "required");
    nn_json_dump(errors, 0, &out);
    assert_string_equal(
        nn_buf_str(&out),
        "[{\"loc\":[\"body\",\"layers\",3,\"units\"],\"field\":\"layers.3.units\",\"msg\":\"is required\","
        "\"type\":\"missing\"}]");
}

TEST(violations_have_a_bound) {
    NN_BUF text = {0};
    nn_err err;
    nn_buf_puts(&text, "{\"name\":\"n\",\"tags\":[1");
    for (int i = 0; i < 5000; i++) nn_buf_puts(&text, ",1");
    nn_buf_puts(&text, "]}");
    NN_JSON *v = NULL, *errors = nn_json_new_array();
    CHECK_OK(nn_json_parse(text.p, text.n, &v, &err), &err);
    assert_int_equal(nn_schema_check(&outer, v, "body", errors, NULL, &err), NN_E_VALIDATION_ERROR);
    assert_int_equal(nn_json_size(errors), NN_MAX_VIOLATIONS);
}

TEST(texts_of_a_query) {
    static const nn_member limit = {"limit", NN_INTEGER, .min = 1, .max = 1000},
                           rate = {.name = "rate", .type = NN_NUMBER},
                           flag = {.name = "flag", .type = NN_BOOLEAN};
    static const struct {
        const nn_member *f;
        const char *text, *type;
    } rows[] = {
        {&limit, "10",                   ""            },
        {&limit, "0",                    "out_of_range"},
        {&limit, "1001",                 "out_of_range"},
        {&limit, "",                     "wrong_type"  },
        {&limit, " 1",                   "wrong_type"  },
        {&limit, "+1",                   "wrong_type"  },
        {&limit, "1x",                   "wrong_type"  },
        {&limit, "1e2",                  "wrong_type"  },
        {&limit, "99999999999999999999", "wrong_type"  },
        {&rate,  "-1.5e3",               ""            },
        {&rate,  "nan",                  "wrong_type"  },
        {&rate,  "0x10",                 "wrong_type"  },
        {&flag,  "true",                 ""            },
        {&flag,  "0",                    ""            },
        {&flag,  "maybe",                "wrong_type"  },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        NN_JSON *errors = nn_json_new_array(),
                *v = nn_schema_text(rows[i].f, rows[i].text, "query", errors);
        (void)v; /* only freed */
        assert_string_equal(nn_json_str(nn_json_get(nn_json_at(errors, 0), "type"), ""),
                            rows[i].type);
    }
}

TEST(printed_form) {
    NN_JSON *o = nn_schema_print(&inner);
    NN_BUF out = {0};
    nn_json_dump(o, 0, &out);
    assert_string_equal(
        nn_buf_str(&out),
        "{\"description\":\"inner\",\"type\":\"object\",\"properties\":{\"epochs\":{\"type\":\"integer\",\"minimum\":1,"
        "\"maximum\":100,\"default\":5,\"description\":\"passes\"},\"rate\":{\"type\":\"number\",\"minimum\":0,"
        "\"description\":\"step\"},\"share\":{\"type\":\"number\",\"exclusiveMinimum\":0,"
        "\"exclusiveMaximum\":1,\"description\":\"between\"}}}");
}
