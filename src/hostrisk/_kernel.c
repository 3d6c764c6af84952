/* The compiled kernel: normalize.py and features.py in one pass over UTF-8, equal to them bit for
 * bit. Read those two first; the names and step numbers here are theirs.
 *
 *   bytes -> scan (fold table, one Builder) -> join (runs of single letters) -> push (128 tokens)
 *         -> window (slots, each once, integer sum) -> best logit
 *
 * Text is hostile: every read is bounded, invalid UTF-8 separates words, memory per text is fixed.
 * The interpreter is free (GIL released) while texts are scored. Stable ABI, CPython 3.11 and up.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "_fold_table.h"

#if defined(__GNUC__) && defined(__x86_64__) && defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)
#define CLONED __attribute__((target_clones("avx2,bmi2", "default")))
#else
#define CLONED
#endif
#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define PREFETCH(p) __builtin_prefetch(p)
#else
#define INLINE static inline
#define LIKELY(x) (x)
#define PREFETCH(p) ((void)(p))
#endif

enum { SEPARATOR, KEEP, DROP, EMOJI, SPACE };
enum { WORD, MARK, SIDE };
enum { MAX_TOKEN = 64, MAX_LEET = 16, WINDOW = 128, STRIDE = 96, BITS = 20, SLOTS = 1 << BITS };
/* A token gives its own slot, two pairs and at most three n-grams for each framed byte. */
enum { TOKEN_BYTES = MAX_TOKEN + 2, SPARE = 8, MOST = WINDOW * (3 + 3 * TOKEN_BYTES) };

#define SEED 0x9E3779B97F4A7C15u
#define M1 0xFF51AFD7ED558CCDu
#define M2 0xC4CEB9FE1A85EC53u
#define M3 0x9FB21C651E98DF25u
#define M4 0xD1B54A32D192ED03u
#define K3 0xD6E8FEB86659FD93u
#define K4 0xA0761D6478BD642Fu
#define K5 0xE7037ED1A0B428DBu
#define SLOT(x) ((uint32_t)((uint64_t)(x) >> (64 - BITS)))

typedef struct {
    unsigned char bytes[TOKEN_BYTES + SPARE]; /* a space, the token, a space, bytes never used */
    uint8_t length, kind;
    uint64_t hash;
} Token;

typedef struct { /* the word being read: _Scanner of normalize.py without offsets */
    Token token;
    uint32_t last;
    unsigned run, letters, digits;
    int length, ascii, small, mixed, stretched, inner_count;
    char inner[2];
} Builder;

typedef struct Scorer {
    const int8_t *weights;
    double scale, bias;
    Token tokens[WINDOW];
    int count;
    Builder word, joined;
    unsigned char letters[2];
    int letter_count, mark, camel;
    uint32_t slots[MOST + 16];
    size_t slot_count;
    uint64_t seen[SLOTS / 64];
    double best;
    int windows;
    uint32_t best_slots[MOST]; /* kept only where asked for */
    size_t best_count;
    int keep_best;
    uint32_t *all; /* where asked for: slots of every window, not yet distinct */
    size_t all_count, all_room;
    int collect, failed;
    const uint8_t *vocabulary; /* where words are only counted: a bit for each slot of a known one */
    int32_t words, unseen;
    struct Scorer *next;
} Scorer;

/* --- windows ---------------------------------------------------------------------------------- */

INLINE uint64_t load(const unsigned char *at) {
    uint64_t value;
    memcpy(&value, at, 8);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = __builtin_bswap64(value);
#endif
    return value;
}

INLINE uint64_t low_bytes(uint64_t value, int count) {
    return count >= 8 ? value : value & ((1ull << (8 * count)) - 1);
}

INLINE uint64_t token_hash(const Token *token) {
    uint64_t value = SEED;
    for (int at = 0; at < token->length; at += 8) {
        uint64_t chunk = low_bytes(load(token->bytes + 1 + at), token->length - at);
        value = (value ^ chunk) * M1;
        value ^= value >> 29;
    }
    return value;
}

INLINE size_t grams(const Token *token, uint32_t *out) {
    const unsigned char *bytes = token->bytes;
    int framed = token->length + 2, at = 0;
    uint32_t *start = out;
    for (; at + 5 <= framed; at++, out += 3) {
        uint64_t eight = load(bytes + at);
        out[0] = SLOT((eight & 0xFFFFFFu) * K3);
        out[1] = SLOT((eight & 0xFFFFFFFFu) * K4);
        out[2] = SLOT((eight & 0xFFFFFFFFFFu) * K5);
    }
    if (at + 4 <= framed) {
        uint64_t eight = load(bytes + at++);
        *out++ = SLOT((eight & 0xFFFFFFu) * K3);
        *out++ = SLOT((eight & 0xFFFFFFFFu) * K4);
    }
    if (at + 3 <= framed) *out++ = SLOT((load(bytes + at) & 0xFFFFFFu) * K3);
    return (size_t)(out - start);
}

CLONED static size_t window_slots(Token *tokens, int count, uint32_t *out) {
    uint32_t *start = out;
    uint64_t before = 0, earlier = 0;
    int has_before = 0;
    for (int i = 0; i < count; i++) {
        Token *token = tokens + i;
        uint64_t value = token->hash;
        *out++ = SLOT(value * M2);
        if (token->kind == SIDE) continue;
        if (has_before) *out++ = SLOT((before * M3 ^ value) * M2);
        if (has_before > 1) *out++ = SLOT((earlier * M4 ^ value) * M2);
        earlier = before;
        before = value;
        has_before += has_before < 2;
        if (token->kind == WORD) out += grams(token, out);
    }
    return (size_t)(out - start);
}

/* Keep the first of equal slots; returns how many are left and adds up their weights. */
INLINE size_t distinct(uint64_t *seen, uint32_t *slots, size_t count, const int8_t *weights,
                       int64_t *sum) {
    size_t kept = 0;
    int64_t total = 0;
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC unroll 4
#endif
    for (size_t i = 0; i < count; i++) {
        uint32_t slot = slots[i];
        uint64_t word = seen[slot >> 6], fresh = ~word >> (slot & 63) & 1;
        seen[slot >> 6] = word | 1ull << (slot & 63);
        slots[kept] = slot;
        kept += fresh;
    }
    for (size_t i = 0; i < kept; i++) {
        total += weights[slots[i]];
        seen[slots[i] >> 6] = 0;
    }
    *sum = total;
    return kept;
}

static double window_logit(const Scorer *s, int64_t sum, size_t count) {
    if (!count) return s->bias;
    return s->scale * (double)sum / sqrt((double)count) + s->bias;
}

static void collect(Scorer *s) {
    size_t need = s->all_count + s->slot_count;
    if (!s->slot_count) return;
    if (need > s->all_room) {
        size_t room = need + need / 2 + 1024;
        uint32_t *all = realloc(s->all, room * sizeof *all);
        if (!all) {
            s->failed = 1;
            return;
        }
        s->all = all;
        s->all_room = room;
    }
    memcpy(s->all + s->all_count, s->slots, s->slot_count * sizeof *s->all);
    s->all_count = need;
}

static void score_window(Scorer *s) {
    int64_t sum = 0;
    s->slot_count = window_slots(s->tokens, s->count, s->slots);
    s->slot_count = distinct(s->seen, s->slots, s->slot_count, s->weights, &sum);
    if (s->collect) collect(s);
    double logit = window_logit(s, sum, s->slot_count);
    if (!s->windows++ || logit > s->best) {
        s->best = logit;
        if (s->keep_best) {
            memcpy(s->best_slots, s->slots, s->slot_count * sizeof *s->slots);
            s->best_count = s->slot_count;
        }
    }
}

static void count_word(Scorer *s, const Token *token) {
    if (token->kind != WORD) return;
    uint32_t slot = SLOT(token->hash * M2);
    s->words++;
    s->unseen += !(s->vocabulary[slot >> 3] >> (slot & 7) & 1);
}

/* ``bytes`` has room for reading 16 bytes, or ``length`` where that is more. */
static void push(Scorer *s, const unsigned char *bytes, int length, int kind) {
    if (s->vocabulary) s->count = 0;
    if (s->count == WINDOW) {
        score_window(s);
        memmove(s->tokens, s->tokens + STRIDE, (WINDOW - STRIDE) * sizeof(Token));
        s->count = WINDOW - STRIDE;
    }
    Token *token = s->tokens + s->count++;
    memcpy(token->bytes + 1, bytes, 16); /* a fixed size is one instruction */
    if (length > 16) memcpy(token->bytes + 17, bytes + 16, (size_t)length - 16);
    token->bytes[0] = token->bytes[length + 1] = ' ';
    token->length = (uint8_t)length;
    token->kind = (uint8_t)kind;
    token->hash = token_hash(token);
    if (s->vocabulary) count_word(s, token);
}

/* --- join: three or more one-letter tokens in a row are one ------------------------------------ */

static void emit(Scorer *s, Builder *b, int joining);

static void clear(Builder *b) {
    b->last = 0;
    b->run = b->letters = b->digits = 0;
    b->length = b->small = b->mixed = b->stretched = b->inner_count = 0;
    b->ascii = 1;
}

INLINE void close_word(Scorer *s, Builder *b, int joining) {
    if (b->length) emit(s, b, joining);
    clear(b);
}

INLINE void append(Scorer *s, Builder *b, uint32_t symbol, const unsigned char *raw, int size,
                   int joining) {
    int digit = symbol >= '0' && symbol <= '9';
    if (symbol == b->last && !digit) {
        if (++b->run >= 3) {
            if (b->run == 3) {
                b->length -= size;
                b->stretched = 1;
            }
            return;
        }
    } else {
        b->run = 1;
    }
    if (b->length + size > MAX_TOKEN) {
        close_word(s, b, joining);
        b->run = 1;
    }
    unsigned char *end = b->token.bytes + 1 + b->length;
    for (int i = 0; i < size; i++) end[i] = raw[i];
    b->length += size;
    b->last = symbol;
    b->digits += (unsigned)digit;
    b->letters += (unsigned)!digit;
    b->ascii &= symbol < 128;
}

static void join_letter(Scorer *s, unsigned char letter) {
    if (s->letter_count < 2) {
        s->letters[s->letter_count++] = letter;
        return;
    }
    if (s->letter_count == 2) {
        s->letter_count = 3;
        clear(&s->joined);
        append(s, &s->joined, s->letters[0], s->letters, 1, 1);
        append(s, &s->joined, s->letters[1], s->letters + 1, 1, 1);
    }
    append(s, &s->joined, letter, &letter, 1, 1);
}

static void flush_letters(Scorer *s) {
    unsigned char padded[16] = {0};
    if (s->letter_count == 3) {
        close_word(s, &s->joined, 1);
    } else {
        for (int i = 0; i < s->letter_count; i++) {
            padded[0] = s->letters[i];
            push(s, padded, 1, WORD);
        }
    }
    s->letter_count = 0;
}

INLINE void take(Scorer *s, const unsigned char *bytes, int length, int kind, int joining) {
    if (!joining) {
        if (length == 1 && kind == WORD && *bytes >= 'a' && *bytes <= 'z') {
            join_letter(s, *bytes);
            return;
        }
        if (s->letter_count) flush_letters(s);
    }
    push(s, bytes, length, kind);
}

static void take_mark(Scorer *s, const char *mark, int length) {
    unsigned char padded[16] = {0};
    memcpy(padded, mark, (size_t)length);
    take(s, padded, length, MARK, 0);
}

/* --- scan: letters and digits to tokens -------------------------------------------------------- */

static int leet(const Builder *b, unsigned char *decoded) {
    if (!b->ascii || b->mixed || b->length > MAX_LEET || b->digits > 4 * b->letters) return 0;
    for (int i = 0; i < b->length; i++) {
        static const char letters[] = "oi\0eas\0t\0\0";
        unsigned char byte = b->token.bytes[1 + i];
        decoded[i] = byte >= '0' && byte <= '9' ? (unsigned char)letters[byte - '0'] : byte;
        if (!decoded[i]) return 0;
    }
    return 1;
}

static void emit(Scorer *s, Builder *b, int joining) {
    unsigned char *bytes = b->token.bytes + 1, decoded[MAX_LEET];
    int length = b->length;
    if (b->stretched && length == 1) {
        bytes[1] = bytes[2] = bytes[0];
        length = 3;
    }
    if (LIKELY(!b->digits)) {
        take(s, bytes, length, WORD, joining);
    } else if (!b->letters) {
        take_mark(s, "0", 1);
    } else if (leet(b, decoded)) {
        take(s, decoded, length, WORD, joining);
        take(s, bytes, length, SIDE, joining);
    } else {
        take(s, bytes, length, MARK, joining);
    }
}

static void separate(Scorer *s) {
    close_word(s, &s->word, 0);
    s->mark = s->camel = 0;
}

static void open_word(Scorer *s, uint32_t symbol) {
    if (s->word.length) return;
    int small = symbol >= 'a' && symbol <= 'z', digit = symbol >= '0' && symbol <= '9';
    if (s->mark == '$' && small) {
        append(s, &s->word, 's', (const unsigned char *)"s", 1, 0);
    } else if (s->mark != '$' && !digit) {
        char mark = (char)s->mark;
        take_mark(s, &mark, 1);
        s->camel = s->mark == '#';
    }
    s->mark = 0;
}

static void put(Scorer *s, uint32_t symbol, uint32_t source, const unsigned char *raw, int size) {
    Builder *b = &s->word;
    if (b->inner_count && !(symbol >= 'a' && symbol <= 'z')) separate(s);
    if (source >= 'A' && source <= 'Z' && b->small) {
        if (s->camel) close_word(s, b, 0);
        b->mixed = 1;
    }
    if (s->mark) open_word(s, symbol);
    int pending = b->inner_count;
    b->inner_count = 0;
    for (int i = 0; i < pending; i++) {
        char mark = b->inner[i];
        if (mark == '*') continue;
        unsigned char letter = (unsigned char)(mark == '@' ? 'a' : mark == '$' ? 's' : 'i');
        append(s, b, letter, &letter, 1, 0);
    }
    append(s, b, symbol, raw, size, 0);
    b->small = source >= 'a' && source <= 'z';
}

static void sign(Scorer *s, int symbol) {
    Builder *b = &s->word;
    if (b->length && b->last >= 'a' && b->last <= 'z' && symbol != '#' && b->inner_count < 2) {
        b->inner[b->inner_count++] = (char)symbol;
        return;
    }
    separate(s);
    s->mark = symbol == '@' || symbol == '#' || symbol == '$' ? symbol : 0;
}

/* Decode one code point; what is not UTF-8 is a separator of one byte. */
static int decode(const unsigned char *at, size_t left, uint32_t *code) {
    uint32_t first = at[0];
    int size = first < 0x80 ? 1 : first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3
               : first < 0xF5 ? 4 : 0;
    *code = 0xFFFD;
    if (!size || (size_t)size > left) return 1;
    uint32_t value = size == 1 ? first : first & (0x7Fu >> size);
    for (int i = 1; i < size; i++) {
        if ((at[i] & 0xC0) != 0x80) return 1;
        value = value << 6 | (at[i] & 0x3F);
    }
    if (size > 2 && value < (size == 3 ? 0x800u : 0x10000u)) return 1;
    if (value > 0x10FFFF) return 1;
    *code = value;
    return size;
}

static uint32_t fold_value(uint32_t code) {
    if (code >= FOLD_LIMIT) {
        if (code >= 0x20000 && code <= 0x3FFFF) return KEEP;
        return code >= 0xE0000 && code <= 0xE0FFF ? DROP : SEPARATOR;
    }
    return FOLD_BLOCKS[FOLD_DIRECTORY[code >> 8] << 8 | (code & 255)];
}

static int begins_url(const Scorer *s, const unsigned char *at, const unsigned char *end) {
    const Builder *b = &s->word;
    const unsigned char *word = b->token.bytes + 1;
    int named = (b->length == 4 && !memcmp(word, "http", 4)) ||
                (b->length == 5 && !memcmp(word, "https", 5));
    return named && end - at >= 3 && !memcmp(at, "://", 3);
}

static void put_symbols(Scorer *s, uint32_t value, uint32_t code) {
    uint32_t index = value - FOLD_FIRST_STRING;
    const unsigned char *at = FOLD_POOL + FOLD_OFFSETS[index];
    const unsigned char *end = FOLD_POOL + FOLD_OFFSETS[index + 1];
    while (at < end) {
        uint32_t symbol;
        int size = decode(at, (size_t)(end - at), &symbol);
        if (symbol == '@' || symbol == '#' || symbol == '$' || symbol == '!' || symbol == '*') {
            sign(s, (int)symbol);
        } else {
            put(s, symbol, code, at, size);
        }
        at += size;
    }
}

/* Small letters of ASCII inside a plain word, by far the most common bytes: append() and put()
 * with everything decided. */
INLINE const unsigned char *plain_letters(Scorer *s, const unsigned char *at,
                                          const unsigned char *end) {
    Builder *b = &s->word;
    if (s->mark || b->inner_count) return at;
    while (at < end) {
        unsigned char byte = *at;
        if ((unsigned char)(byte - 'a') > 25 || byte == b->last || b->length >= MAX_TOKEN) break;
        b->token.bytes[1 + b->length++] = byte;
        b->last = byte;
        b->run = 1;
        b->letters++;
        b->small = 1;
        at++;
    }
    return at;
}

static void scan(Scorer *s, const unsigned char *at, size_t size) {
    const unsigned char *end = at + size;
    int skipping = 0;
    while (at < end) {
        if (!skipping) {
            at = plain_letters(s, at, end);
            if (at == end) break;
        }
        uint32_t code = *at;
        if (LIKELY(!skipping && code == ' ')) {
            if (s->word.length || s->mark || s->camel) separate(s);
            at++;
            continue;
        }
        int step = code < 0x80 ? 1 : decode(at, (size_t)(end - at), &code);
        uint32_t value = fold_value(code);
        if (skipping) {
            skipping = value != SPACE;
        } else if (value >= FOLD_FIRST_STRING) {
            put_symbols(s, value, code);
        } else if (value == KEEP) {
            put(s, code, code, at, step);
        } else if (value == EMOJI) {
            separate(s);
            take_mark(s, (const char *)at, step);
        } else if (value != DROP) {
            if (code == ':' && begins_url(s, at, end)) {
                take_mark(s, "://", 3);
                clear(&s->word);
                skipping = 1;
            }
            separate(s);
        }
        at += step;
    }
    close_word(s, &s->word, 0);
    flush_letters(s);
}

static void start(Scorer *s) {
    clear(&s->word);
    s->count = s->letter_count = s->mark = s->camel = s->windows = 0;
    s->all_count = 0;
}

static double text_logit(Scorer *s, const unsigned char *text, size_t size) {
    start(s);
    scan(s, text, size);
    score_window(s);
    return s->best;
}

static double probability(double logit) {
    if (logit >= 0) return 1.0 / (1.0 + exp(-logit));
    double power = exp(logit);
    return power / (1.0 + power);
}

/* --- Python: scorers are pooled, since clearing one costs more than scoring a text -------------- */

/* The interpreter's lock guards the pool; a build without it takes the lock for this module. */
static Scorer *pool;

static Scorer *acquire(const Py_buffer *weights, double scale, double bias) {
    Scorer *s = pool;
    if (s) {
        pool = s->next;
    } else if (!(s = calloc(1, sizeof *s))) {
        PyErr_NoMemory();
        return NULL;
    }
    s->weights = weights->buf;
    s->scale = scale;
    s->bias = bias;
    s->keep_best = s->collect = s->failed = 0;
    s->vocabulary = NULL;
    return s;
}

static void release(Scorer *s) {
    free(s->all);
    s->all = NULL;
    s->all_room = s->all_count = 0;
    s->next = pool;
    pool = s;
}

static int get_weights(PyObject *object, Py_buffer *weights) {
    if (PyObject_GetBuffer(object, weights, PyBUF_SIMPLE) < 0) return -1;
    if (weights->len == SLOTS) return 0;
    PyErr_Format(PyExc_ValueError, "weights must be %d bytes, not %zd", SLOTS, weights->len);
    PyBuffer_Release(weights);
    return -1;
}

typedef struct {
    const unsigned char *text; /* NULL for a null text */
    size_t size;
    PyObject *owner; /* where the text had to be encoded */
} Text;

/* The UTF-8 of a str; halves of characters, which UTF-8 proper has not, are passed through. */
static int get_text(PyObject *object, Text *text) {
    Py_ssize_t size;
    char *bytes;
    text->owner = NULL;
    text->text = NULL;
    text->size = 0;
    if (object == Py_None) return 0;
    if (!PyUnicode_Check(object)) {
        PyErr_SetString(PyExc_TypeError, "not a str");
        return -1;
    }
    text->text = (const unsigned char *)PyUnicode_AsUTF8AndSize(object, &size);
    if (!text->text) {
        if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) return -1;
        PyErr_Clear();
        text->owner = PyUnicode_AsEncodedString(object, "utf-8", "surrogatepass");
        if (!text->owner || PyBytes_AsStringAndSize(text->owner, &bytes, &size) < 0) {
            Py_CLEAR(text->owner);
            return -1;
        }
        text->text = (const unsigned char *)bytes;
    }
    text->size = (size_t)size;
    return 0;
}

static PyObject *score_one(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *object, *weights_object, *result = NULL;
    double scale, bias, logit = 0;
    Py_buffer weights;
    Text text;
    if (!PyArg_ParseTuple(args, "UOdd", &object, &weights_object, &scale, &bias)) return NULL;
    if (get_text(object, &text) < 0) return NULL;
    if (get_weights(weights_object, &weights) < 0) goto done;
    Scorer *s = acquire(&weights, scale, bias);
    if (s) {
        if (text.size < 4096) {
            logit = text_logit(s, text.text, text.size);
        } else {
            Py_BEGIN_ALLOW_THREADS
            logit = text_logit(s, text.text, text.size);
            Py_END_ALLOW_THREADS
        }
        release(s);
        result = PyFloat_FromDouble(probability(logit));
    }
    PyBuffer_Release(&weights);
done:
    Py_XDECREF(text.owner);
    return result;
}

static void free_texts(Text *texts, Py_ssize_t count) {
    for (Py_ssize_t i = 0; i < count; i++) Py_XDECREF(texts[i].owner);
    PyMem_Free(texts);
}

/* Views of the texts of a tuple, which keeps them alive while the interpreter is free. */
static Text *get_texts(PyObject *tuple, Py_ssize_t count) {
    Text *texts = PyMem_Calloc((size_t)count + 1, sizeof *texts);
    if (!texts) {
        PyErr_NoMemory();
        return NULL;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        if (get_text(PyTuple_GetItem(tuple, i), texts + i) < 0) {
            free_texts(texts, count);
            return NULL;
        }
    }
    return texts;
}

static PyObject *score_texts(PyObject *tuple, const Py_buffer *weights, double scale, double bias) {
    Py_ssize_t count = PyTuple_Size(tuple);
    PyObject *result = NULL;
    Text *texts = get_texts(tuple, count);
    if (!texts) return NULL;
    double *scores = PyMem_Malloc(((size_t)count + 1) * sizeof *scores);
    Scorer *s = scores ? acquire(weights, scale, bias) : NULL;
    if (!scores) PyErr_NoMemory();
    if (s) {
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t i = 0; i < count; i++) {
            if (i + 4 < count && texts[i + 4].text) PREFETCH(texts[i + 4].text);
            if (texts[i].text) scores[i] = probability(text_logit(s, texts[i].text, texts[i].size));
        }
        Py_END_ALLOW_THREADS
        release(s);
        result = PyList_New(count);
        for (Py_ssize_t i = 0; result && i < count; i++) {
            PyObject *item = texts[i].text ? PyFloat_FromDouble(scores[i]) : Py_NewRef(Py_None);
            if (!item || PyList_SetItem(result, i, item) < 0) Py_CLEAR(result);
        }
    }
    PyMem_Free(scores);
    free_texts(texts, count);
    return result;
}

static PyObject *score_list(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *object, *weights_object, *result = NULL;
    double scale, bias;
    Py_buffer weights;
    if (!PyArg_ParseTuple(args, "OOdd", &object, &weights_object, &scale, &bias)) return NULL;
    PyObject *tuple = PySequence_Tuple(object);
    if (!tuple) return NULL;
    if (get_weights(weights_object, &weights) == 0) {
        result = score_texts(tuple, &weights, scale, bias);
        PyBuffer_Release(&weights);
    }
    Py_DECREF(tuple);
    return result;
}

/* --- Arrow C data interface ------------------------------------------------------------------- */

struct ArrowSchema {
    const char *format, *name, *metadata;
    int64_t flags, n_children;
    struct ArrowSchema **children, *dictionary;
    void (*release)(struct ArrowSchema *);
    void *private_data;
};

struct ArrowArray {
    int64_t length, null_count, offset, n_buffers, n_children;
    const void **buffers;
    struct ArrowArray **children, *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
};

/* One text of an Arrow array of format u, U or vu: NULL for null. What the format lets be checked
 * is checked, for the array may be corrupt: -1 where it is. Buffers need not be aligned. */
static int arrow_text(const struct ArrowArray *array, const char *format, int64_t at,
                      const unsigned char **text, size_t *size) {
    const uint8_t *valid = array->buffers[0];
    const unsigned char *values = array->buffers[1], *data = array->buffers[2];
    at += array->offset;
    *text = NULL;
    *size = 0;
    if (valid && !(valid[at >> 3] >> (at & 7) & 1)) return 0;
    if (format[0] == 'v') {
        int32_t view[4]; /* length, first bytes, buffer, offset; or length and all bytes */
        int64_t room, others = array->n_buffers - 3;
        memcpy(view, values + 16 * at, 16);
        if (view[0] < 0) return -1;
        *size = (size_t)view[0];
        *text = values + 16 * at + 4;
        if (view[0] <= 12) return 0;
        if (view[2] < 0 || view[2] >= others || view[3] < 0) return -1;
        memcpy(&room, (const char *)array->buffers[array->n_buffers - 1] + 8 * (size_t)view[2], 8);
        if ((int64_t)view[3] + view[0] > room) return -1;
        *text = (const unsigned char *)array->buffers[2 + view[2]] + view[3];
        return 0;
    }
    int64_t ends[2];
    if (format[0] == 'U') {
        memcpy(ends, values + 8 * at, 16);
    } else {
        int32_t small[2];
        memcpy(small, values + 4 * at, 8);
        ends[0] = small[0];
        ends[1] = small[1];
    }
    if (ends[0] < 0 || ends[1] < ends[0] || (!data && ends[1] > ends[0])) return -1;
    *size = (size_t)(ends[1] - ends[0]);
    *text = data ? data + ends[0] : (const unsigned char *)"";
    return 0;
}

static int score_arrow_texts(Scorer *s, const struct ArrowArray *array, const char *format,
                             char *out) {
    for (int64_t i = 0; i < array->length; i++) {
        size_t size;
        const unsigned char *text;
        if (arrow_text(array, format, i, &text, &size) < 0) return -1;
        double score = text ? probability(text_logit(s, text, size)) : 0.0;
        memcpy(out + 8 * i, &score, 8);
    }
    return 0;
}

static PyObject *score_arrow_array(const struct ArrowArray *array, const char *format,
                                   const Py_buffer *weights, double scale, double bias) {
    int64_t count = array->length, most = PY_SSIZE_T_MAX / 32; /* views have 16 bytes */
    int buffers_fit = format[0] == 'v' ? array->n_buffers >= 3 : array->n_buffers == 3;
    int failed = !array->buffers || !buffers_fit || count < 0 || array->offset < 0 || count > most ||
                 array->offset > most || (count && !array->buffers[1]);
    PyObject *result = failed ? NULL : PyBytes_FromStringAndSize(NULL, (Py_ssize_t)count * 8);
    Scorer *s = result ? acquire(weights, scale, bias) : NULL;
    if (s) {
        char *out = PyBytes_AsString(result);
        Py_BEGIN_ALLOW_THREADS
        failed = score_arrow_texts(s, array, format, out);
        Py_END_ALLOW_THREADS
        release(s);
    }
    if (s && !failed) return result;
    if (failed) PyErr_SetString(PyExc_ValueError, "the Arrow array is corrupt");
    Py_XDECREF(result);
    return NULL;
}

static PyObject *score_arrow(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *schema_capsule, *array_capsule, *weights_object, *result = NULL;
    double scale, bias;
    Py_buffer weights;
    if (!PyArg_ParseTuple(args, "OOOdd", &schema_capsule, &array_capsule, &weights_object, &scale,
                          &bias))
        return NULL;
    struct ArrowSchema *schema = PyCapsule_GetPointer(schema_capsule, "arrow_schema");
    struct ArrowArray *array =
        schema ? PyCapsule_GetPointer(array_capsule, "arrow_array") : NULL;
    if (!array) return NULL;
    if (!schema->release || !array->release) {
        PyErr_SetString(PyExc_ValueError, "the Arrow capsule was used already");
        return NULL;
    }
    const char *format = schema->format;
    if (!format || schema->dictionary ||
        (strcmp(format, "u") && strcmp(format, "U") && strcmp(format, "vu"))) {
        PyErr_Format(PyExc_TypeError, "Arrow format %s, not text", format ? format : "(none)");
        return NULL;
    }
    if (get_weights(weights_object, &weights) < 0) return NULL;
    result = score_arrow_array(array, format, &weights, scale, bias);
    PyBuffer_Release(&weights);
    return result;
}

/* --- features: for training, heads and explanations -------------------------------------------- */

static int compare_slots(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* The distinct slots of all windows of a text, sorted. */
static size_t text_slots(Scorer *s, const Text *text) {
    int64_t sum;
    if (!text->text) return 0;
    text_logit(s, text->text, text->size);
    if (s->failed || !s->all_count) return 0;
    size_t count = s->windows > 1 ? distinct(s->seen, s->all, s->all_count, s->weights, &sum)
                                  : s->all_count;
    qsort(s->all, count, sizeof *s->all, compare_slots);
    return count;
}

typedef struct {
    char *bytes;
    size_t size, room;
} Bytes;

static int add_bytes(Bytes *out, const void *bytes, size_t size) {
    if (out->size + size > out->room) {
        size_t room = (out->size + size) * 3 / 2 + 65536;
        char *moved = realloc(out->bytes, room);
        if (!moved) return -1;
        out->bytes = moved;
        out->room = room;
    }
    if (size) memcpy(out->bytes + out->size, bytes, size);
    out->size += size;
    return 0;
}

static PyObject *features_of(PyObject *tuple, const Py_buffer *weights) {
    Py_ssize_t count = PyTuple_Size(tuple);
    PyObject *result = NULL;
    Bytes pointers = {0}, indices = {0};
    Text *texts = get_texts(tuple, count);
    if (!texts) return NULL;
    Scorer *s = acquire(weights, 0, 0);
    if (s) {
        int failed = 0;
        int64_t total = 0;
        s->collect = 1;
        Py_BEGIN_ALLOW_THREADS
        failed = add_bytes(&pointers, &total, 8);
        for (Py_ssize_t i = 0; i < count && !failed; i++) {
            size_t found = text_slots(s, texts + i);
            total += (int64_t)found;
            failed = s->failed || add_bytes(&pointers, &total, 8) ||
                     add_bytes(&indices, s->all, found * 4);
        }
        Py_END_ALLOW_THREADS
        release(s);
        if (failed) {
            PyErr_NoMemory();
        } else {
            result = Py_BuildValue("(y#y#)", pointers.bytes, (Py_ssize_t)pointers.size,
                                   indices.bytes ? indices.bytes : "", (Py_ssize_t)indices.size);
        }
    }
    free(pointers.bytes);
    free(indices.bytes);
    free_texts(texts, count);
    return result;
}

static PyObject *features(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *object, *result;
    static int8_t zeros[SLOTS];
    Py_buffer weights = {.buf = zeros, .len = SLOTS};
    if (!PyArg_ParseTuple(args, "O", &object)) return NULL;
    PyObject *tuple = PySequence_Tuple(object);
    if (!tuple) return NULL;
    result = features_of(tuple, &weights);
    Py_DECREF(tuple);
    return result;
}

/* Sum the rows of a table of heads over the slots of the best window; see linear.head_sums. */
static PyObject *sum_rows(const Scorer *s, const Py_buffer *table, Py_ssize_t columns) {
    const int8_t *cells = table->buf;
    Py_ssize_t rows = table->len / columns;
    PyObject *sums = PyList_New(columns);
    for (Py_ssize_t column = 0; sums && column < columns; column++) {
        int64_t sum = 0;
        for (size_t i = 0; i < s->best_count; i++) {
            Py_ssize_t row = (Py_ssize_t)(((uint64_t)s->best_slots[i] * (uint64_t)rows) >> BITS);
            sum += cells[row * columns + column];
        }
        PyObject *item = PyLong_FromLongLong(sum);
        if (!item || PyList_SetItem(sums, column, item) < 0) Py_CLEAR(sums);
    }
    return sums ? Py_BuildValue("(nN)", (Py_ssize_t)s->best_count, sums) : NULL;
}

static PyObject *head_sums(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *object, *weights_object, *table_object, *result = NULL;
    double scale, bias;
    Py_ssize_t columns;
    Py_buffer weights, table;
    Text text;
    if (!PyArg_ParseTuple(args, "UOddOn", &object, &weights_object, &scale, &bias, &table_object,
                          &columns))
        return NULL;
    if (get_text(object, &text) < 0) return NULL;
    if (get_weights(weights_object, &weights) < 0) goto done;
    if (PyObject_GetBuffer(table_object, &table, PyBUF_SIMPLE) < 0) goto weights_done;
    if (columns < 1 || table.len < columns || table.len % columns || table.len / columns > SLOTS) {
        PyErr_SetString(PyExc_ValueError, "the table of heads does not fit its columns");
    } else {
        Scorer *s = acquire(&weights, scale, bias);
        if (s) {
            s->keep_best = 1;
            Py_BEGIN_ALLOW_THREADS
            text_logit(s, text.text, text.size);
            Py_END_ALLOW_THREADS
            result = sum_rows(s, &table, columns);
            release(s);
        }
    }
    PyBuffer_Release(&table);
weights_done:
    PyBuffer_Release(&weights);
done:
    Py_XDECREF(text.owner);
    return result;
}

/* --- words: which of them a vocabulary holds ----------------------------------------------------- */

static PyObject *counts_of(PyObject *tuple, const Py_buffer *vocabulary) {
    Py_ssize_t count = PyTuple_Size(tuple);
    Py_buffer no_weights = {0};
    PyObject *result = NULL;
    Text *texts = get_texts(tuple, count);
    if (!texts) return NULL;
    int32_t *counts = PyMem_Calloc((size_t)count + 1, 2 * sizeof *counts);
    Scorer *s = counts ? acquire(&no_weights, 0, 0) : NULL;
    if (!counts) PyErr_NoMemory();
    if (s) {
        s->vocabulary = vocabulary->buf;
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t i = 0; i < count; i++) {
            s->words = s->unseen = 0;
            start(s);
            if (texts[i].text) scan(s, texts[i].text, texts[i].size);
            counts[2 * i] = s->words;
            counts[2 * i + 1] = s->unseen;
        }
        Py_END_ALLOW_THREADS
        release(s);
        result = PyBytes_FromStringAndSize((char *)counts, count * 2 * (Py_ssize_t)sizeof *counts);
    }
    PyMem_Free(counts);
    free_texts(texts, count);
    return result;
}

static PyObject *word_counts(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *object, *vocabulary_object, *result = NULL;
    Py_buffer vocabulary;
    if (!PyArg_ParseTuple(args, "OO", &object, &vocabulary_object)) return NULL;
    PyObject *tuple = PySequence_Tuple(object);
    if (!tuple) return NULL;
    if (PyObject_GetBuffer(vocabulary_object, &vocabulary, PyBUF_SIMPLE) == 0) {
        if (vocabulary.len == SLOTS / 8)
            result = counts_of(tuple, &vocabulary);
        else
            PyErr_Format(PyExc_ValueError, "the vocabulary must be %d bytes, not %zd", SLOTS / 8,
                         vocabulary.len);
        PyBuffer_Release(&vocabulary);
    }
    Py_DECREF(tuple);
    return result;
}

static PyMethodDef methods[] = {
    {"score_one", score_one, METH_VARARGS,
     "score_one(text, weights, scale, bias) -> probability of one str"},
    {"score_list", score_list, METH_VARARGS,
     "score_list(texts, weights, scale, bias) -> list of probabilities, None for None"},
    {"score_arrow", score_arrow, METH_VARARGS,
     "score_arrow(schema, array, weights, scale, bias) -> bytes of float64, 0 for null"},
    {"features", features, METH_VARARGS,
     "features(texts) -> (int64 row pointers, uint32 slots), both as bytes"},
    {"head_sums", head_sums, METH_VARARGS,
     "head_sums(text, weights, scale, bias, table, columns) -> (slots of the best window, sums)"},
    {"word_counts", word_counts, METH_VARARGS,
     "word_counts(texts, vocabulary) -> bytes of int32 pairs: words, those it does not hold"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_kernel", "Compiled normalize.py and features.py.", -1, methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__kernel(void) { return PyModule_Create(&module); }
