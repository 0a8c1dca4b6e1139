/* SPDX-License-Identifier: MIT */
#include "data/sets.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const digits[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
static const char *const clothes[] = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                                      "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"};
static const char *const kana[] = {"o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"};

/* Sizes and sums: the files themselves, as TensorFlow Datasets and others have recorded them. The
 * files of fashion-mnist are those of Debian's package but for the name in their gzip header. */
/* clang-format off */
static const nn_set sets[] = {
    {.name = "fashion-mnist", .summary = "70,000 grey images of clothes, 28 x 28, ten classes", .format = "idx",
     .licence = "MIT", .citation = "Xiao, Rasul, Vollgraf: Fashion-MNIST, arXiv:1708.07747, 2017",
     .home = "https://github.com/zalandoresearch/fashion-mnist",
     .package = "dataset-fashion-mnist", .system = "/usr/share/datasets/fashion-mnist", .n_classes = 10, .classes = clothes,
     .file = {
#define FASHION(file) {"http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/" file}
         {"train-images-idx3-ubyte.gz", FASHION("train-images-idx3-ubyte.gz"), 26421880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"},
         {"train-labels-idx1-ubyte.gz", FASHION("train-labels-idx1-ubyte.gz"), 29515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"},
         {"t10k-images-idx3-ubyte.gz", FASHION("t10k-images-idx3-ubyte.gz"), 4422102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"},
         {"t10k-labels-idx1-ubyte.gz", FASHION("t10k-labels-idx1-ubyte.gz"), 5148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"}}},
    {.name = "mnist", .summary = "70,000 grey images of handwritten digits, 28 x 28, ten classes", .format = "idx",
     .licence = "CC BY-SA 3.0", .citation = "LeCun, Bottou, Bengio, Haffner: Gradient-based learning applied to document recognition, Proc. IEEE 86(11), 1998",
     .home = "http://yann.lecun.com/exdb/mnist/", .n_classes = 10, .classes = digits,
     .file = {
#define MNIST(file) {"https://storage.googleapis.com/cvdf-datasets/mnist/" file, "http://yann.lecun.com/exdb/mnist/" file}
         {"train-images-idx3-ubyte.gz", MNIST("train-images-idx3-ubyte.gz"), 9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"},
         {"train-labels-idx1-ubyte.gz", MNIST("train-labels-idx1-ubyte.gz"), 28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"},
         {"t10k-images-idx3-ubyte.gz", MNIST("t10k-images-idx3-ubyte.gz"), 1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"},
         {"t10k-labels-idx1-ubyte.gz", MNIST("t10k-labels-idx1-ubyte.gz"), 4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"}}},
    {.name = "kmnist", .summary = "70,000 grey images of cursive Japanese characters, 28 x 28, ten classes", .format = "idx",
     .licence = "CC BY-SA 4.0", .citation = "Clanuwat et al.: Deep Learning for Classical Japanese Literature, arXiv:1812.01718, 2018",
     .home = "http://codh.rois.ac.jp/kmnist/", .n_classes = 10, .classes = kana,
     .file = {
#define KMNIST(file) {"http://codh.rois.ac.jp/kmnist/dataset/kmnist/" file}
         {"train-images-idx3-ubyte.gz", KMNIST("train-images-idx3-ubyte.gz"), 18165135, "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4"},
         {"train-labels-idx1-ubyte.gz", KMNIST("train-labels-idx1-ubyte.gz"), 29497, "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17"},
         {"t10k-images-idx3-ubyte.gz", KMNIST("t10k-images-idx3-ubyte.gz"), 3041136, "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5"},
         {"t10k-labels-idx1-ubyte.gz", KMNIST("t10k-labels-idx1-ubyte.gz"), 5120, "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c"}}},
    {.name = "cifar10", .summary = "60,000 colour images of animals and vehicles, 32 x 32, ten classes", .format = "cifar",
     .licence = "none is stated; the authors ask for the citation", .citation = "Krizhevsky: Learning Multiple Layers of Features from Tiny Images, 2009",
     .home = "https://www.cs.toronto.edu/~kriz/cifar.html", .open = "cifar-10-binary.tar.gz", .n_classes = 10,
     .file = {{"cifar-10-binary.tar.gz", {"https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"}, 170052171, "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"}}},
    {.name = "cifar100", .summary = "60,000 colour images, 32 x 32, a hundred classes", .format = "cifar",
     .licence = "none is stated; the authors ask for the citation", .citation = "Krizhevsky: Learning Multiple Layers of Features from Tiny Images, 2009",
     .home = "https://www.cs.toronto.edu/~kriz/cifar.html", .open = "cifar-100-binary.tar.gz", .n_classes = 100,
     .file = {{"cifar-100-binary.tar.gz", {"https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz"}, 168513733, "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"}}},
    {.name = "iris", .summary = "150 iris flowers by four lengths, three species", .format = "csv",
     .licence = "CC BY 4.0", .citation = "Fisher: The use of multiple measurements in taxonomic problems, Annals of Eugenics 7(2), 1936",
     .home = "https://archive.ics.uci.edu/dataset/53/iris", .open = "iris.data", .n_classes = 3,
     .file = {{"iris.data", {"https://archive.ics.uci.edu/ml/machine-learning-databases/iris/iris.data"}, 4551, "6f608b71a7317216319b4d27b4d9bc84e6abd734eda7872b71a458569e2656c0"}}},
    {.name = "tiny-shakespeare", .summary = "1,115,394 characters of Shakespeare's plays", .format = "text",
     .licence = "public domain", .citation = "Karpathy: The Unreasonable Effectiveness of Recurrent Neural Networks, 2015",
     .home = "https://github.com/karpathy/char-rnn", .open = "input.txt",
     .file = {{"input.txt", {"https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"}, 1115394, "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"}}},
};
/* clang-format on */
enum { N_SETS = sizeof sets / sizeof *sets };

const nn_set *nn_set_at(int i) {
    return i >= 0 && i < N_SETS ? &sets[i] : NULL;
}

static bool same_name(const char *a, const char *b) {
    for (;; a++, b++) {
        while (*a == '-' || *a == '_') a++;
        while (*b == '-' || *b == '_') b++;
        if (tolower((unsigned char)*a) != tolower((unsigned char)*b)) return false;
        if (!*a) return true;
    }
}

const nn_set *nn_set_find(const char *name) {
    for (int i = 0; i < N_SETS; i++)
        if (same_name(sets[i].name, name)) return &sets[i];
    return NULL;
}

const nn_set *nn_set_of_path(const char *path) {
    char last[64];
    size_t n = strlen(path);
    while (n && path[n - 1] == '/') n--;
    size_t from = n;
    while (from && path[from - 1] != '/') from--;
    if (n - from >= sizeof last) return NULL;
    snprintf(last, sizeof last, "%.*s", (int)(n - from), path + from);
    return nn_set_find(last);
}

int64_t nn_set_bytes(const nn_set *s) {
    int64_t n = 0;
    for (int i = 0; i < NN_SET_FILES && s->file[i].name; i++) n += s->file[i].bytes;
    return n;
}

bool nn_set_cache(char *path, size_t cap) {
    static const struct {
        const char *variable, *below;
    } places[] = {
        {"NEURAL_DATA_DIR", ""                   },
        {"XDG_CACHE_HOME",  "/neural/data"       },
        {"HOME",            "/.cache/neural/data"},
    };
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const char *s = getenv(places[i].variable);
        if (!s || !*s) continue;
        int n = snprintf(path, cap, "%s%s", s, places[i].below);
        return n > 0 && (size_t)n < cap;
    }
    return false;
}

const char *nn_set_hint(const nn_set *s, char *buf, size_t cap) {
    char package[128] = "";
    if (s->package) snprintf(package, sizeof package, "`apt-get install %s` has it, ", s->package);
    snprintf(
        buf, cap,
        "%s`neural data get %s` downloads it (%.1f MB, licence: %s), or put %s and what belongs to "
        "it into $NEURAL_DATA_DIR/%s",
        package, s->name, (double)nn_set_bytes(s) / 1e6, s->licence, s->file[0].name, s->name);
    return buf;
}
