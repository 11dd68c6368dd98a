// generate: a language model's sampler in one file of C++17, with nothing but the standard library.
//
// It reads what a run of The Trainer's Guide leaves (config.json, tokenizer.json, model.safetensors) and goes on
// from a text, as `course sample` does. To compile and run it:
//
//     c++ -std=c++17 -O3 -march=native -pthread generate.cpp -o generate
//     ./generate FOLDER --prompt "Once upon a time"
//
// (-march=native lets it use all that your processor can do; leave it out where the compiler does not know it.)
//
// The file reads from top to bottom: threads, matrix products, the blocks of a transformer, errors, UTF-8, JSON,
// weights, settings, tokenizer, the model, the sampler, the command line. Shapes are written as in the course: T tokens,
// C = n_embd, V = vocab_size, H heads. Matrices lie row by row. What comes out of a file is checked before it is used,
// since a file can be cut off, damaged, or made to mislead; whatever is wrong ends in one line on stderr and exit
// status 2.

#include "blocks.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <queue>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

namespace {

namespace fs = std::filesystem;
using std::size_t;
using std::string;
using std::uint32_t;
using std::uint64_t;

// ---- Errors ---------------------------------------------------------------------------------------------------------

struct Failure : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// fail("expected ", 3, " bytes"): whatever a stream can write, one after another.
template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
    std::ostringstream message;
    (message << ... << parts);
    throw Failure(message.str());
}

// A name out of a file, fit for one line of a message.
string in_quotes(const string& name) {
    string shown = name.substr(0, 60);
    for (char& c : shown)
        if (c < 0x20 || c > 0x7e) c = '?';
    return "'" + shown + (name.size() > 60 ? "...'" : "'");
}

// ---- UTF-8 ----------------------------------------------------------------------------------------------------------

// The length of the character that begins at bytes[at]: 1 to 4; 0 where the text ends before the character does;
// -n where the first n bytes cannot begin any character (the Unicode standard, table 3-7).
int utf8_length(const string& bytes, size_t at) {
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(bytes[i]); };
    const unsigned lead = byte(at);
    if (lead < 0x80) return 1;
    if (lead < 0xc2 || lead > 0xf4) return -1;
    const int length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    unsigned low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;  // no long forms of short characters
    unsigned high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;  // no surrogates, nothing above U+10FFFF
    for (int i = 1; i < length; ++i, low = 0x80, high = 0xbf) {
        if (at + static_cast<size_t>(i) >= bytes.size()) return 0;
        const unsigned next = byte(at + static_cast<size_t>(i));
        if (next < low || next > high) return -i;
    }
    return length;
}

// The characters of a text as Unicode numbers; `what` names the text where it is not UTF-8.
std::vector<uint32_t> code_points(const string& text, const string& what) {
    std::vector<uint32_t> points;
    for (size_t at = 0; at < text.size();) {
        const int length = utf8_length(text, at);
        if (length <= 0) fail(what, " is not valid UTF-8 at byte ", at, ".");
        const unsigned lead = static_cast<unsigned char>(text[at]);
        uint32_t point = length == 1 ? lead : lead & (0xffu >> (length + 1));
        for (size_t i = at + 1; i < at + static_cast<size_t>(length); ++i)
            point = point << 6 | (static_cast<unsigned char>(text[i]) & 0x3fu);
        points.push_back(point);
        at += static_cast<size_t>(length);
    }
    return points;
}

string utf8(uint32_t point) {
    if (point < 0x80) return string(1, static_cast<char>(point));
    string text;
    int shift = point < 0x800 ? 6 : point < 0x10000 ? 12 : 18;
    const unsigned mark = shift == 6 ? 0xc0 : shift == 12 ? 0xe0 : 0xf0;
    text += static_cast<char>(mark | point >> shift);
    while (shift > 0) {
        shift -= 6;
        text += static_cast<char>(0x80 | (point >> shift & 0x3f));
    }
    return text;
}

// ---- Files and JSON -------------------------------------------------------------------------------------------------

constexpr uint64_t MAX_TEXT_BYTES = 100'000'000;  // of any JSON, and of a prompt; safetensors' own limit for its header
constexpr size_t MAX_JSON_VALUES = 1'000'000, MAX_JSON_DEPTH = 50, MAX_TOKEN_BYTES = 10'000;

uint64_t size_of_file(const fs::path& path) {
    std::error_code error;
    if (!fs::is_regular_file(path, error)) fail(path.string(), " is missing, or is no file.");
    const uint64_t size = fs::file_size(path, error);
    if (error) fail("Cannot read ", path.string(), ": ", error.message(), ".");
    return size;
}

void read_bytes(std::istream& file, char* target, uint64_t count, const fs::path& path) {
    file.read(target, static_cast<std::streamsize>(count));
    if (!file || static_cast<uint64_t>(file.gcount()) != count) fail("Cannot read ", path.string(), " to its end.");
}

string read_text(const fs::path& path) {
    const uint64_t size = size_of_file(path);
    if (size > MAX_TEXT_BYTES) fail(path.string(), " is too large: ", size, " bytes.");
    string text(static_cast<size_t>(size), '\0');
    std::ifstream file(path, std::ios::binary);
    read_bytes(file, text.data(), size, path);
    return text;
}

struct Json {
    enum Kind { Null, Bool, Number, Text, List, Object };
    Kind kind = Null;
    string text;                // of a Text its characters; of a Number or a Bool, what the file says
    std::vector<string> names;  // of an Object: one for each of its items
    std::vector<Json> items;    // of a List or an Object

    const Json* find(const string& name) const {
        const auto place = std::find(names.begin(), names.end(), name);
        return place == names.end() ? nullptr : &items[static_cast<size_t>(place - names.begin())];
    }
    bool is(Kind wanted, const char* value) const { return kind == wanted && text == value; }
};

// A strict reader (RFC 8259) that also refuses what is legal and never meant: a name twice in one object, half a
// surrogate pair, nesting without end.
class JsonReader {
  public:
    JsonReader(const string& text, string file) : text_(text), file_(std::move(file)) {}

    Json read() {
        for (size_t at = 0; at < text_.size();) {
            const int length = utf8_length(text_, at);
            if (length <= 0) fail(file_, " is not valid UTF-8 at byte ", at, ".");
            at += static_cast<size_t>(length);
        }
        Json value = read_value(0);
        skip_space();
        if (at_ != text_.size()) bad("the end");
        return value;
    }

  private:
    const string& text_;
    const string file_;
    size_t at_ = 0, values_ = 0;

    [[noreturn]] void bad(const string& expected) const {
        fail(file_, " is damaged: its JSON should have ", expected, " at byte ", at_, ".");
    }
    char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
    bool take(char wanted) {
        if (peek() != wanted || at_ == text_.size()) return false;
        ++at_;
        return true;
    }
    void skip_space() {
        while (peek() == ' ' || peek() == '\n' || peek() == '\t' || peek() == '\r') ++at_;
    }
    bool digits() {
        const size_t start = at_;
        while (peek() >= '0' && peek() <= '9') ++at_;
        return at_ > start;
    }

    Json read_value(size_t depth) {
        if (depth > MAX_JSON_DEPTH) bad("less nesting");
        if (++values_ > MAX_JSON_VALUES) bad("fewer values");
        skip_space();
        Json value;
        if (take('{')) {
            read_items(value, Json::Object, depth);
        } else if (take('[')) {
            read_items(value, Json::List, depth);
        } else if (peek() == '"') {
            value.kind = Json::Text;
            value.text = read_string();
        } else if (peek() == '-' || (peek() >= '0' && peek() <= '9')) {
            value.kind = Json::Number;
            value.text = read_number();
        } else {
            for (const char* word : {"true", "false", "null"})
                if (text_.compare(at_, std::strlen(word), word) == 0) value.text = word;
            if (value.text.empty()) bad("a value");
            at_ += value.text.size();
            value.kind = value.text == "null" ? Json::Null : Json::Bool;
        }
        return value;
    }

    void read_items(Json& value, Json::Kind kind, size_t depth) {
        value.kind = kind;
        const char end = kind == Json::Object ? '}' : ']';
        skip_space();
        if (take(end)) return;
        do {
            if (kind == Json::Object) {
                skip_space();
                if (peek() != '"') bad("a name");
                value.names.push_back(read_string());
                skip_space();
                if (!take(':')) bad("a colon");
            }
            value.items.push_back(read_value(depth + 1));
            skip_space();
        } while (take(','));
        if (!take(end)) bad(string("a comma or ") + end);
        std::vector<string> sorted = value.names;
        std::sort(sorted.begin(), sorted.end());
        const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
        if (twice != sorted.end()) fail(file_, " is damaged: it has the name ", in_quotes(*twice), " twice.");
    }

    string read_number() {
        const size_t start = at_;
        take('-');
        if (!take('0') && !digits()) bad("a digit");
        if (take('.') && !digits()) bad("a digit");
        if (take('e') || take('E')) {
            if (!take('+')) take('-');
            if (!digits()) bad("a digit");
        }
        return text_.substr(start, at_ - start);
    }

    string read_string() {
        string value;
        ++at_;  // the opening quote
        while (!take('"')) {
            if (at_ == text_.size() || static_cast<unsigned char>(peek()) < 0x20) bad("a closing quote");
            if (take('\\')) {
                value += read_escape();
            } else {
                value += text_[at_++];
            }
        }
        return value;
    }

    string read_escape() {
        static const string letters = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
        if (take('u')) {
            uint32_t point = read_hex();
            if (point >= 0xd800 && point < 0xe000) {  // half of a character beyond U+FFFF: the other must follow
                const bool first = point < 0xdc00 && take('\\') && take('u');
                const uint32_t second = first ? read_hex() : 0;
                if (second < 0xdc00 || second > 0xdfff) bad("both halves of a surrogate pair");
                point = 0x10000 + ((point - 0xd800) << 10) + (second - 0xdc00);
            }
            return utf8(point);
        }
        const size_t which = at_ < text_.size() ? letters.find(peek()) : string::npos;
        if (which == string::npos) bad("a known escape");
        ++at_;
        return string(1, meanings[which]);
    }

    uint32_t read_hex() {
        uint32_t point = 0;
        const char* start = text_.data() + at_;
        const bool room = at_ + 4 <= text_.size();
        if (!room || std::from_chars(start, start + 4, point, 16).ptr != start + 4) bad("four hex digits");
        at_ += 4;
        return point;
    }
};

Json read_json(const fs::path& path) {
    const Json value = JsonReader(read_text(path), path.string()).read();
    if (value.kind != Json::Object) fail(path.string(), " should hold a JSON object.");
    return value;
}

// A whole number of a file, from `low` to `high`.
uint64_t whole_number(const Json& value, uint64_t low, uint64_t high, const string& what) {
    uint64_t number = 0;
    const char *begin = value.text.data(), *end = begin + value.text.size();
    const auto [stop, error] = std::from_chars(begin, end, number);
    const bool read = value.kind == Json::Number && error == std::errc() && stop == end;
    if (!read || number < low || number > high)
        fail(what, " should be a whole number from ", low, " to ", high, ".");
    return number;
}

// ---- Weights: the safetensors format --------------------------------------------------------------------------------
// 8 bytes with the header's length, least significant first; the header, a JSON object that gives each tensor's dtype,
// shape and place; then the numbers themselves, one tensor after another.

using Shape = std::vector<uint64_t>;

uint64_t little_endian(const unsigned char* bytes, size_t count) {
    uint64_t value = 0;
    for (size_t i = 0; i < count; ++i) value |= static_cast<uint64_t>(bytes[i]) << (8 * i);
    return value;
}

float float_from(uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

float read_f32(const unsigned char* bytes) { return float_from(static_cast<uint32_t>(little_endian(bytes, 4))); }
float read_bf16(const unsigned char* bytes) { return float_from(static_cast<uint32_t>(little_endian(bytes, 2)) << 16); }
float read_f16(const unsigned char* bytes) {
    const uint64_t bits = little_endian(bytes, 2), exponent = bits >> 10 & 31;
    const float fraction = static_cast<float>(bits & 1023);
    float value = std::ldexp(exponent ? fraction + 1024 : fraction, exponent ? static_cast<int>(exponent) - 25 : -24);
    if (exponent == 31) value = std::numeric_limits<float>::infinity();  // or NaN; either is refused
    return bits >> 15 ? -value : value;
}

struct Dtype {
    const char* name;
    uint64_t size;
    float (*read)(const unsigned char*);
};
constexpr Dtype DTYPES[] = {{"F32", 4, read_f32}, {"F16", 2, read_f16}, {"BF16", 2, read_bf16}};

string shown(const Shape& shape) {
    string text;
    for (const uint64_t length : shape) text += (text.empty() ? "" : ", ") + std::to_string(length);
    return "(" + text + (shape.size() == 1 ? ",)" : ")");
}

class WeightFile {
  public:
    explicit WeightFile(const fs::path& path) : path_(path), size_(size_of_file(path)), file_(path, std::ios::binary) {
        unsigned char bytes[8];
        if (size_ < 8) damaged("it has no header");
        read_bytes(file_, reinterpret_cast<char*>(bytes), 8, path);
        const uint64_t length = little_endian(bytes, 8);
        if (length > size_ - 8 || length > MAX_TEXT_BYTES)
            damaged("its header should be ", length, " bytes long, and it has ", size_, " in all");
        string header(static_cast<size_t>(length), '\0');
        read_bytes(file_, header.data(), length, path);
        start_ = 8 + length;
        const Json json = JsonReader(header, path.string()).read();
        if (json.kind != Json::Object) damaged("its header is no JSON object");
        for (size_t i = 0; i < json.items.size(); ++i)
            if (json.names[i] != "__metadata__") add(json.names[i], json.items[i]);
        check_places();
    }

    // The numbers of the tensor `name`, which must have this shape. Each can be taken once.
    Floats take(const string& name, const Shape& shape) {
        const auto is_it = [&](const Tensor& tensor) { return tensor.name == name; };
        const auto place = std::find_if(tensors_.begin(), tensors_.end(), is_it);
        if (place == tensors_.end()) fail(path_.string(), " lacks the weight ", in_quotes(name), OTHER_MODEL);
        const Tensor tensor = *place;
        if (tensor.shape != shape)
            fail(path_.string(), ": ", in_quotes(name), " should have the shape ", shown(shape), "; it has ",
                 shown(tensor.shape), OTHER_MODEL);
        tensors_.erase(place);
        return read(tensor);
    }

    void check_all_taken() const {
        if (!tensors_.empty())
            fail(path_.string(), " has the unknown weight ", in_quotes(tensors_[0].name), OTHER_MODEL);
    }

  private:
    static constexpr const char* OTHER_MODEL = ". It and config.json belong to different models.";
    struct Tensor {
        string name;
        const Dtype* dtype;
        Shape shape;
        uint64_t begin, end, count;
    };
    fs::path path_;
    uint64_t size_, start_ = 0;
    std::ifstream file_;
    std::vector<Tensor> tensors_;

    template <class... Parts>
    [[noreturn]] void damaged(const Parts&... how) const {
        fail(path_.string(), " is damaged: ", how..., ".");
    }

    void add(const string& name, const Json& entry) {
        const Json *dtype = entry.find("dtype"), *shape = entry.find("shape"), *offsets = entry.find("data_offsets");
        if (!dtype || !shape || !offsets || entry.items.size() != 3 || shape->kind != Json::List ||
            offsets->kind != Json::List || offsets->items.size() != 2)
            damaged("the entry ", in_quotes(name), " should have dtype, shape and two data_offsets");
        Tensor tensor{name, nullptr, {}, 0, 0, 1};
        for (const Dtype& known : DTYPES)
            if (dtype->is(Json::Text, known.name)) tensor.dtype = &known;
        if (!tensor.dtype) fail(path_.string(), ": ", in_quotes(name), " should be F32, F16 or BF16.");
        const uint64_t available = size_ - start_;
        for (const Json& length : shape->items) {  // no product can overflow: each is held against the file's size
            const string what = path_.string() + ": a length of " + in_quotes(name);
            tensor.shape.push_back(whole_number(length, 0, available, what));
            if (tensor.shape.back() != 0 && tensor.count > available / tensor.shape.back())
                damaged(in_quotes(name), " is larger than the file");
            tensor.count *= tensor.shape.back();
        }
        const string what = path_.string() + ": an offset of " + in_quotes(name);
        tensor.begin = whole_number(offsets->items[0], 0, available, what);
        tensor.end = whole_number(offsets->items[1], tensor.begin, available, what);
        if ((tensor.end - tensor.begin) / tensor.dtype->size != tensor.count ||
            (tensor.end - tensor.begin) % tensor.dtype->size != 0)
            damaged(in_quotes(name), " has ", tensor.end - tensor.begin, " bytes, which is not what ",
                    shown(tensor.shape), " takes");
        tensors_.push_back(std::move(tensor));
    }

    void check_places() {
        std::sort(tensors_.begin(), tensors_.end(), [](const Tensor& a, const Tensor& b) {
            return std::make_pair(a.begin, a.end) < std::make_pair(b.begin, b.end);
        });
        uint64_t end = 0;
        for (const Tensor& tensor : tensors_) {
            if (tensor.begin != end)
                damaged(in_quotes(tensor.name), " overlaps another tensor, or there is a gap before it");
            end = tensor.end;
        }
        if (start_ + end != size_)
            damaged("its tensors should end at byte ", start_ + end, ", and it has ", size_);
    }

    Floats read(const Tensor& tensor) {
        Floats values(static_cast<size_t>(tensor.count));
        std::vector<unsigned char> bytes(size_t{1} << 16);
        file_.seekg(static_cast<std::streamoff>(start_ + tensor.begin));
        for (size_t done = 0; done < values.size();) {
            const size_t size = static_cast<size_t>(tensor.dtype->size);
            const size_t count = std::min(values.size() - done, bytes.size() / size);
            read_bytes(file_, reinterpret_cast<char*>(bytes.data()), count * size, path_);
            for (size_t i = 0; i < count; ++i, ++done) {
                values[done] = tensor.dtype->read(bytes.data() + i * size);
                if (!std::isfinite(values[done])) damaged(in_quotes(tensor.name), " has a number that is not finite");
            }
        }
        return values;
    }
};

// ---- Settings: config.json ------------------------------------------------------------------------------------------

// As one may say "a row for each n-gram", whatever their number; how many rows there are, the file of weights shows.
constexpr uint64_t MAX_NGRAM_ROWS = 1'000'000'000'000'000'000;

struct Config {
    size_t block_size = 0, vocab_size = 0, n_layer = 0, n_head = 0, n_embd = 0;  // 0: not given yet
    bool bias = false, qk_norm = false, tie_weights = true;
    string position = "learned", norm = "layernorm", mlp = "gelu";
    std::vector<uint64_t> ngrams;  // of how many tokens together there are embeddings too
    uint64_t ngram_rows = 32'768;  // the most rows that one of their tables has
    string start = "\n";  // what a text of this kind begins with

    size_t head_dim() const { return n_embd / n_head; }
    size_t hidden() const { return mlp == "swiglu" ? 8 * ((n_embd + 2) / 3) : 4 * n_embd; }  // the MLP's width
};

void check(const Config& config, const fs::path& path) {
    if (config.n_embd % config.n_head != 0) fail(path.string(), ": n_embd should be a multiple of n_head.");
    if (config.position == "rope" && config.head_dim() % 2 != 0)
        fail(path.string(), ": RoPE turns pairs, so n_embd / n_head should be even.");
}

std::vector<uint64_t> read_ngrams(const Json& value, const string& where) {
    if (value.kind != Json::List) fail(where, " should be a list of whole numbers, such as [2, 3, 4].");
    std::vector<uint64_t> ngrams;
    for (const Json& order : value.items) {  // rising, each of them once
        const uint64_t low = ngrams.empty() ? 2 : ngrams.back() + 1;
        if (low > 32) fail(where, " should end with 32 at the latest.");
        ngrams.push_back(whole_number(order, low, 32, where + ": a number of tokens"));
    }
    return ngrams;
}

Config read_config(const fs::path& path) {
    const Json json = read_json(path);
    const Json* model = json.find("model");
    const Json* kind = model ? model->find("kind") : nullptr;
    if (!kind || !kind->is(Json::Text, "gpt")) fail(path.string(), " should hold a 'model' of the kind 'gpt'.");
    Config config;
    const Json* data = json.find("data");
    const Json* start = data ? data->find("start") : nullptr;  // older runs have none
    if (start && start->kind == Json::Text) config.start = start->text;
    const std::pair<const char*, size_t*> numbers[] = {
        {"block_size", &config.block_size}, {"vocab_size", &config.vocab_size}, {"n_layer", &config.n_layer},
        {"n_head", &config.n_head}, {"n_embd", &config.n_embd}};
    const std::pair<const char*, bool*> switches[] = {
        {"bias", &config.bias}, {"qk_norm", &config.qk_norm}, {"tie_weights", &config.tie_weights}};
    const struct { const char* name; string* value; std::vector<string> known; } choices[] = {
        {"position", &config.position, {"learned", "rope"}},
        {"norm", &config.norm, {"layernorm", "rmsnorm"}},
        {"mlp", &config.mlp, {"gelu", "gelu_tanh", "relu2", "swiglu"}}};
    for (size_t i = 0; i < model->items.size(); ++i) {
        const string& name = model->names[i];
        const Json& value = model->items[i];
        const string where = path.string() + ": " + in_quotes(name);
        bool known = name == "kind" || name == "dropout" || name == "zero_init";  // of no concern after training
        for (const auto& [setting, target] : numbers)
            if (name == setting)
                *target = static_cast<size_t>(whole_number(value, 1, 1'000'000'000, where)), known = true;
        for (const auto& [setting, target] : switches)
            if (name == setting) {
                if (value.kind != Json::Bool) fail(where, " should be true or false.");
                *target = value.text == "true", known = true;
            }
        for (const auto& choice : choices)
            if (name == choice.name) {
                const auto& all = choice.known;
                known = value.kind == Json::Text && std::find(all.begin(), all.end(), value.text) != all.end();
                if (!known) fail(where, " has the unknown value ", in_quotes(value.text), ".");
                *choice.value = value.text;
            }
        if (name == "ngrams") config.ngrams = read_ngrams(value, where), known = true;
        if (name == "ngram_rows") config.ngram_rows = whole_number(value, 1, MAX_NGRAM_ROWS, where), known = true;
        if (!known) fail(where, " is a setting that this program does not know. Is there a newer generate.cpp?");
    }
    for (const auto& [setting, target] : numbers)
        if (*target == 0) fail(path.string(), ": the model has no ", setting, ".");
    check(config, path);
    return config;
}

// ---- Tokenizer: tokenizer.json --------------------------------------------------------------------------------------

using Id = uint32_t;

// Which Unicode numbers are letters, digits and white space: letters.json, which `course export` writes for a model whose
// tokenizer splits a text by them.
class Letters {
  public:
    enum Kind { Letter, Digit, Space, Sign };

    explicit Letters(const fs::path& path) {
        std::error_code error;
        if (!fs::is_regular_file(path, error))
            fail(path.string(), " is missing: it says what a letter is. Write it with: course export RUN --to cpp");
        const Json json = read_json(path);
        const char* names[] = {"letters", "digits", "spaces"};
        for (size_t kind = 0; kind < 3; ++kind) ranges_[kind] = read_ranges(json, names[kind], path);
        if (kind(' ') != Space) fail(path.string(), ": the space should be white space.");  // else a chunk may be empty
    }

    Kind kind(uint32_t point) const {
        for (size_t kind = 0; kind < 3; ++kind) {
            const auto& ranges = ranges_[kind];
            const auto after = std::upper_bound(ranges.begin(), ranges.end(), std::make_pair(point, UINT32_MAX));
            if (after != ranges.begin() && point <= std::prev(after)->second) return static_cast<Kind>(kind);
        }
        return Sign;
    }

  private:
    std::vector<std::pair<uint32_t, uint32_t>> ranges_[3];  // first and last, in order

    static std::vector<std::pair<uint32_t, uint32_t>> read_ranges(const Json& json, const string& name,
                                                                  const fs::path& path) {
        const Json* list = json.find(name);
        if (!list || list->kind != Json::List || list->items.size() % 2)
            fail(path.string(), " should hold ", in_quotes(name), " as a list of first and last, in turn.");
        std::vector<std::pair<uint32_t, uint32_t>> ranges;
        uint64_t least = 0;
        for (size_t i = 0; i < list->items.size(); i += 2) {
            const uint64_t first = whole_number(list->items[i], least, 0x10ffff, path.string() + ": a Unicode number");
            const uint64_t last = whole_number(list->items[i + 1], first, 0x10ffff, path.string() + ": a Unicode number");
            ranges.emplace_back(first, last);
            least = last + 1;
        }
        return ranges;
    }
};

// Byte-pair encoding: a text is split into chunks, each chunk's bytes are merged, earlier merges first.
class Merges {
  public:
    // tokenizer.json, which is at `path` and has been read.
    void read(const Json& json, const fs::path& path) {
        const Json *merges = json.find("merges"), *special = json.find("special_tokens");
        const Json *pattern = json.find("pattern"), *order = json.find("bytes_by_id");
        if (!merges || merges->kind != Json::List || !special || special->kind != Json::List || !pattern)
            fail(path.string(), " should hold merges, a pattern and special tokens.");
        read_bytes_by_id(order, path);
        for (const Json& merge : merges->items) add_merge(merge, path);
        for (const Json& token : special->items) {
            if (token.kind != Json::Text) fail(path.string(), ": special tokens should be texts.");
            contents_.push_back(token.text);
        }
        if (pattern->is(Json::Text, GPT2_PATTERN)) letters_.emplace(path.parent_path() / "letters.json");
    }

    size_t size() const { return contents_.size(); }
    const string& bytes_of(Id id) const { return contents_[id]; }

    std::vector<Id> encode(const string& text) const {
        if (!letters_)
            fail("This model's tokenizer splits a text by a pattern of its own, and this program knows GPT-2's alone. "
                 "Give the prompt's ids instead: --prompt-ids \"72 105\" (and --ids writes ids).");
        std::vector<Id> ids;
        for (const string& chunk : chunks(text)) append_merged(chunk, ids);
        return ids;
    }

  private:
    static constexpr const char* GPT2_PATTERN =
        R"re('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)re";
    std::vector<string> contents_;             // by id: the bytes
    Id id_of_byte_[256] = {};
    std::unordered_map<uint64_t, Id> merged_;  // first id << 32 | second id -> what they become
    std::optional<Letters> letters_;           // none where the pattern is not GPT-2's

    static uint64_t pair_of(Id first, Id second) { return static_cast<uint64_t>(first) << 32 | second; }

    void read_bytes_by_id(const Json* order, const fs::path& path) {
        if (order && (order->kind != Json::Text || order->text.size() != 512))
            fail(path.string(), ": 'bytes_by_id' should be 256 bytes in hex digits.");
        std::vector<bool> known(256);
        for (size_t id = 0; id < 256; ++id) {
            unsigned byte = static_cast<unsigned>(id);
            if (order) {
                const char* digits = order->text.data() + 2 * id;
                if (std::from_chars(digits, digits + 2, byte, 16).ptr != digits + 2) byte = 256;
            }
            if (byte > 255 || known[byte]) fail(path.string(), ": 'bytes_by_id' should hold each byte once.");
            known[byte] = true;
            id_of_byte_[byte] = static_cast<Id>(id);
            contents_.emplace_back(1, static_cast<char>(byte));
        }
    }

    void add_merge(const Json& merge, const fs::path& path) {
        const char *begin = merge.text.data(), *end = begin + merge.text.size();
        Id first = 0, second = 0;
        const auto space = std::from_chars(begin, end, first);
        const bool half = merge.kind == Json::Text && space.ec == std::errc() && space.ptr != end && *space.ptr == ' ';
        const auto stop = half ? std::from_chars(space.ptr + 1, end, second) : space;
        if (!half || stop.ec != std::errc() || stop.ptr != end || first >= size() || second >= size())
            fail(path.string(), ": merge ", size() - 256, " should be two ids below ", size(), ", such as \"104 101\".");
        if (contents_[first].size() + contents_[second].size() > MAX_TOKEN_BYTES)
            fail(path.string(), ": merge ", size() - 256, " makes a token of over ", MAX_TOKEN_BYTES, " bytes.");
        if (!merged_.emplace(pair_of(first, second), static_cast<Id>(size())).second)
            fail(path.string(), ": merge ", size() - 256, " is there twice.");
        contents_.push_back(contents_[first] + contents_[second]);
    }

    // GPT-2's pattern, alternative by alternative: contractions; letters, digits or signs after at most one space; white
    // space, of which the last is left for what follows.
    std::vector<string> chunks(const string& text) const {
        const std::vector<uint32_t> points = code_points(text, "The prompt");
        std::vector<string> found;
        for (size_t at = 0; at < points.size();) {
            const size_t end = chunk_end(points, at);
            found.emplace_back();
            for (; at < end; ++at) found.back() += utf8(points[at]);
        }
        return found;
    }

    size_t chunk_end(const std::vector<uint32_t>& points, size_t at) const {
        const auto is = [&](size_t place, char wanted) {
            return place < points.size() && points[place] == static_cast<uint32_t>(wanted);
        };
        if (is(at, '\'')) {
            if (is(at + 1, 's') || is(at + 1, 'd') || is(at + 1, 'm') || is(at + 1, 't')) return at + 2;
            for (const char* two : {"ll", "ve", "re"})
                if (is(at + 1, two[0]) && is(at + 2, two[1])) return at + 3;
        }
        const size_t start = is(at, ' ') && at + 1 < points.size() ? at + 1 : at;
        const Letters::Kind kind = letters_->kind(points[start]);
        if (kind != Letters::Space) return run_end(points, start, kind);
        const size_t end = run_end(points, at, Letters::Space);
        return end == points.size() || end == at + 1 ? end : end - 1;
    }

    size_t run_end(const std::vector<uint32_t>& points, size_t at, Letters::Kind kind) const {
        while (at < points.size() && letters_->kind(points[at]) == kind) ++at;
        return at;
    }

    // The work grows as n log n: a long chunk is no trap.
    void append_merged(const string& chunk, std::vector<Id>& ids) const {
        struct Piece { Id id; size_t before, after; bool there; };
        const size_t n = chunk.size(), none = n;
        std::vector<Piece> pieces;
        for (size_t i = 0; i < n; ++i)
            pieces.push_back({id_of_byte_[static_cast<unsigned char>(chunk[i])], i ? i - 1 : none, i + 1, true});
        using Waiting = std::pair<Id, size_t>;  // what a pair becomes, and where it begins: the smallest comes first
        std::priority_queue<Waiting, std::vector<Waiting>, std::greater<Waiting>> waiting;
        const auto consider = [&](size_t at) {
            if (at == none || pieces[at].after == n) return;
            const auto found = merged_.find(pair_of(pieces[at].id, pieces[pieces[at].after].id));
            if (found != merged_.end()) waiting.emplace(found->second, at);
        };
        for (size_t i = 0; i < n; ++i) consider(i);
        while (!waiting.empty()) {
            const auto [id, at] = waiting.top();
            waiting.pop();
            Piece& piece = pieces[at];
            if (!piece.there || piece.after == n) continue;
            Piece& other = pieces[piece.after];
            const auto found = merged_.find(pair_of(piece.id, other.id));
            if (found == merged_.end() || found->second != id) continue;  // one of the two has gone into another
            piece.id = id;
            other.there = false;
            piece.after = other.after;
            if (piece.after != n) pieces[piece.after].before = at;
            consider(piece.before);
            consider(at);
        }
        for (const Piece& piece : pieces)
            if (piece.there) ids.push_back(piece.id);
    }
};

class Tokenizer {
  public:
    Tokenizer(const fs::path& path, const Config& config) {
        const Json json = read_json(path);
        const Json *format = json.find("format"), *version = json.find("version"), *kind = json.find("kind");
        if (!format || !format->is(Json::Text, "course_lib tokenizer")) fail(path.string(), " is no tokenizer file.");
        if (!version || !version->is(Json::Number, "1"))
            fail(path.string(), " should have version 1. Is there a newer generate.cpp?");
        if (kind && kind->is(Json::Text, "byte")) {
            bytes_ = true;
        } else if (kind && kind->is(Json::Text, "char")) {
            read_characters(json, path);
        } else if (kind && kind->is(Json::Text, "bpe")) {
            merges_.emplace().read(json, path);
        } else {
            fail(path.string(), " is of the kind ", in_quotes(kind ? kind->text : ""),
                 "; this program knows char, byte and bpe.");
        }
        const size_t size = merges_ ? merges_->size() : bytes_ ? 256 : characters_.size();
        if (size != config.vocab_size)
            fail("The model has a vocabulary of ", config.vocab_size, ", ", path.string(), " one of ", size,
                 ". One of the two is from another run.");
    }

    std::vector<Id> encode(const string& text) const {
        if (merges_) return merges_->encode(text);
        std::vector<Id> ids;
        const std::vector<uint32_t> points = code_points(text, "The prompt");
        if (bytes_) {
            for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
            return ids;
        }
        for (size_t i = 0; i < points.size(); ++i) {
            if (knows(points[i])) {
                ids.push_back(id_of(points[i]));
            } else if (policy_ == Refuse) {
                char number[16];
                std::snprintf(number, sizeof number, "U+%04X", static_cast<unsigned>(points[i]));
                fail("The character ", (points[i] < 0x20 || points[i] == 0x7f ? "" : utf8(points[i]) + " "), "(",
                     number, ") at position ", i, " of the prompt is not among the ", characters_.size(),
                     " that this model knows. Leave it out.");
            } else if (policy_ == Replace) {
                ids.push_back(replacement_);
            }
        }
        return ids;
    }

    // What the empty prompt stands for, as in `course sample`: a new line, or the first token where that is unknown.
    std::vector<Id> encode_prompt(const string& text) const {
        const bool blank = text.find_first_not_of('\n') == string::npos;
        if (blank && !bytes_ && !merges_ && policy_ == Refuse && !knows('\n')) return {0};
        return encode(text.empty() ? "\n" : text);
    }

    // The bytes that a token stands for: a whole character, one byte of one, or several bytes.
    string bytes_of(Id id) const {
        if (merges_) return merges_->bytes_of(id);
        return bytes_ ? string(1, static_cast<char>(id)) : utf8(characters_[id]);
    }

  private:
    bool bytes_ = false;
    std::optional<Merges> merges_;
    std::vector<uint32_t> characters_;  // in Unicode order: a token's id is its place
    enum { Refuse, Skip, Replace } policy_ = Refuse;
    Id replacement_ = 0;

    bool knows(uint32_t point) const { return std::binary_search(characters_.begin(), characters_.end(), point); }
    Id id_of(uint32_t point) const {
        return static_cast<Id>(std::lower_bound(characters_.begin(), characters_.end(), point) - characters_.begin());
    }

    void read_characters(const Json& json, const fs::path& path) {
        const Json *characters = json.find("characters"), *unknown = json.find("unknown");
        if (!characters || characters->kind != Json::Text)
            fail(path.string(), " should hold its 'characters' as one text.");
        characters_ = code_points(characters->text, path.string());
        for (size_t i = 1; i < characters_.size(); ++i)
            if (characters_[i - 1] >= characters_[i])
                fail(path.string(), ": the characters should be distinct and in Unicode order.");
        if (!unknown || unknown->kind == Json::Null) return;
        policy_ = unknown->text.empty() ? Skip : Replace;
        const std::vector<uint32_t> point = code_points(unknown->text, path.string());
        if (unknown->kind != Json::Text || point.size() > 1 || (policy_ == Replace && !knows(point[0])))
            fail(path.string(), ": 'unknown' should be one of the characters, or empty.");
        if (policy_ == Replace)
            replacement_ = id_of(point[0]);
    }
};

// ---- The model ------------------------------------------------------------------------------------------------------

// Which row of a table the last n tokens choose, see course_lib/models/ngrams.py. It goes by digits: token + 1, and 0
// where there is no token, before the beginning. No product overflows: a factor is below 2^31, the other below 2^32.
class NGramTable {
  public:
    NGramTable(WeightFile& file, const string& name, const Config& config, uint64_t n)
        : n_(static_cast<size_t>(n)), base_(config.vocab_size + 1), rows_(1) {
        for (size_t i = 0; i < n_ && !hashed_; ++i) {
            hashed_ = rows_ > config.ngram_rows / base_;  // base^(i + 1) is more than a table may have
            rows_ = hashed_ ? config.ngram_rows : rows_ * base_;
        }
        weight_ = file.take(name, {rows_, config.n_embd});
    }

    // The row that belongs to ids[place], whose text begins with ids[0].
    const float* row(const std::vector<Id>& ids, size_t place, size_t width) const {
        uint64_t row = 0;  // the digits before the beginning add nothing
        for (size_t at = place + 1 > n_ ? place + 1 - n_ : 0; at <= place; ++at)
            row = (row * base_ + ids[at] + 1) % PRIME;
        return weight_.data() + static_cast<size_t>(hashed_ ? row * SPREAD % PRIME % rows_ : row) * width;
    }

  private:
    static constexpr uint64_t PRIME = 2'147'483'647, SPREAD = 1'103'515'245;
    size_t n_;
    uint64_t base_, rows_;
    bool hashed_ = false;  // where all n-grams fit into the table they have a row each
    Floats weight_;
};

class Model {
  public:
    Model(const Config& config, const fs::path& path, Team& team) : config_(config) {
        WeightFile file(path);
        const size_t C = config.n_embd, hidden = config.hidden();
        embedding_ = file.take("token_embedding.weight", {config.vocab_size, C});
        if (config.position == "learned") positions_ = file.take("position_embedding.weight", {config.block_size, C});
        for (const uint64_t n : config.ngrams) {
            const string name = "ngram_embedding.tables." + std::to_string(ngrams_.size()) + ".weight";
            ngrams_.emplace_back(file, name, config, n);
        }
        const Form form = form_of(config);
        std::vector<Block> blocks;
        for (size_t layer = 0; layer < form.n_layer; ++layer) {  // the file ends the loop where the number misleads
            const string name = "blocks." + std::to_string(layer) + ".";
            Block block;
            block.norm1 = take_gain(file, name + "norm1");
            block.qkv = take_matrix(file, name + "attn.qkv", C, 3 * C);
            block.proj = take_matrix(file, name + "attn.proj", C, C);
            block.norm2 = take_gain(file, name + "norm2");
            block.up = take_matrix(file, name + "mlp.up", C, form.wide());
            block.down = take_matrix(file, name + "mlp.down", hidden, C);
            blocks.push_back(block);
        }
        const Gain norm = take_gain(file, "norm");
        head_ = {C, config.vocab_size, embedding_.data(), nullptr};
        if (!config.tie_weights) head_.weight = keep(file.take("head.weight", {config.vocab_size, C}));
        file.check_all_taken();
        blocks_ = std::make_unique<Blocks>(form, std::move(blocks), norm, team);
        keys_.resize(form.n_layer), values_.resize(form.n_layer);
        logits_.resize(config.vocab_size);
    }

    size_t tokens_seen() const { return seen_; }
    void forget() { seen_ = 0; }

    // Scores (V) of what follows the last of these tokens (at least one), which come after those in the cache.
    const Floats& forward(const Id* ids, size_t T) {
        const size_t C = config_.n_embd;
        std::vector<Cache> caches;
        for (size_t layer = 0; layer < keys_.size(); ++layer) {
            // Memory grows with the tokens that there are, never with what block_size says there might be.
            for (Floats* floats : {&keys_[layer], &values_[layer]})
                if (floats->size() < (seen_ + T) * C) floats->resize((seen_ + T) * C);
            caches.push_back({keys_[layer].data(), values_[layer].data(), 0, config_.head_dim(), C});
        }
        embed(ids, T);
        if (config_.position == "rope") lengthen_tables(seen_ + T);
        blocks_->forward(x_.data(), 1, T, seen_, nullptr, caches, {cosines_.data(), sines_.data()});
        seen_ += T;
        blocks_->multiply(head_, x_.data(), 1, logits_.data());
        for (const float logit : logits_)
            if (!std::isfinite(logit)) fail("The model's scores are not finite: its weights are too large.");
        return logits_;
    }

  private:
    const Config config_;
    Floats embedding_, positions_, logits_, x_;  // x: what goes into the first block, (T, C)
    Floats cosines_, sines_;                     // RoPE's tables, (positions, E / 2)
    std::vector<NGramTable> ngrams_;
    std::vector<Id> read_;  // the tokens seen, for the n-grams
    std::vector<Floats> kept_, keys_, values_;  // weights; of each block the cache, (tokens seen, C), head beside head
    std::unique_ptr<Blocks> blocks_;
    Matrix head_;
    size_t seen_ = 0;

    static Form form_of(const Config& config) {
        Form form;
        form.n_layer = config.n_layer, form.n_head = config.n_head, form.n_embd = config.n_embd;
        form.hidden = config.hidden();
        form.layernorm = config.norm == "layernorm", form.qk_norm = config.qk_norm;
        form.rope = config.position == "rope";
        form.mlp = config.mlp == "gelu"        ? Mlp::Gelu
                   : config.mlp == "gelu_tanh" ? Mlp::GeluTanh
                   : config.mlp == "relu2"     ? Mlp::ReluSquared
                                               : Mlp::SwiGlu;
        return form;
    }

    const float* keep(Floats floats) {
        kept_.push_back(std::move(floats));  // what a vector holds stays where it is when the vector is moved
        return kept_.back().data();
    }

    Gain take_gain(WeightFile& file, const string& name) {
        Gain gain;
        gain.weight = keep(file.take(name + ".weight", {config_.n_embd}));
        if (config_.norm == "layernorm" && config_.bias) gain.bias = keep(file.take(name + ".bias", {config_.n_embd}));
        return gain;
    }

    Matrix take_matrix(WeightFile& file, const string& name, size_t inputs, size_t outputs) {
        Matrix matrix;
        matrix.inputs = inputs, matrix.outputs = outputs;
        matrix.weight = keep(file.take(name + ".weight", {outputs, inputs}));
        if (config_.bias) matrix.bias = keep(file.take(name + ".bias", {outputs}));
        return matrix;
    }

    void lengthen_tables(size_t end) {
        const size_t half = config_.head_dim() / 2;
        for (size_t position = half ? cosines_.size() / half : end; position < end; ++position)
            for (size_t i = 0; i < half; ++i) {  // Su et al. 2021 (RoFormer), equation 15
                const double turn = static_cast<double>(i) / static_cast<double>(half);
                const double angle = static_cast<double>(position) * std::pow(10'000.0, -turn);
                cosines_.push_back(static_cast<float>(std::cos(angle)));
                sines_.push_back(static_cast<float>(std::sin(angle)));
            }
    }

    // What each token says by itself, together with those before it, and by its place.
    void embed(const Id* ids, size_t T) {
        const size_t C = config_.n_embd;
        if (x_.size() < T * C) x_.resize(T * C);
        if (!ngrams_.empty()) {
            read_.resize(seen_);  // fewer than there were, after forget()
            read_.insert(read_.end(), ids, ids + T);
        }
        for (size_t t = 0; t < T; ++t) {
            float* const x = &x_[t * C];
            std::fill_n(x, C, 0.0f);
            for (const NGramTable& table : ngrams_) {
                const float* const row = table.row(read_, seen_ + t, C);
                for (size_t i = 0; i < C; ++i) x[i] += row[i];
            }
            for (size_t i = 0; i < C; ++i) x[i] += embedding_[ids[t] * C + i];
            if (positions_.empty()) continue;
            for (size_t i = 0; i < C; ++i) x[i] += positions_[(seen_ + t) * C + i];
        }
    }
};

// ---- The sampler ----------------------------------------------------------------------------------------------------

struct Settings {
    double temperature = 0.8, top_p = 1;
    uint64_t top_k = std::numeric_limits<uint64_t>::max(), seed = 1337;
};

// A sum that misses top_p by this share of it, or less, has reached it: the logits are rounded. course_lib/sampling.py
// derives the number, and both programs keep to it.
constexpr double ROUNDING = 2e-6;

// The probabilities (V) that a token is drawn from: temperature, then top-k, then top-p (Holtzman et al. 2020).
std::vector<double> probabilities_of(const Floats& logits, const Settings& settings) {
    Floats ordered(logits);
    const uint64_t k = std::min<uint64_t>(settings.top_k, ordered.size());
    const auto last_of_k = ordered.begin() + static_cast<std::ptrdiff_t>(k - 1);
    std::nth_element(ordered.begin(), last_of_k, ordered.end(), std::greater<float>());
    const float lowest = *last_of_k, highest = *std::max_element(logits.begin(), logits.end());
    std::vector<double> probabilities(logits.size(), 0.0);
    double sum = 0;
    for (size_t i = 0; i < logits.size(); ++i) {
        if (logits[i] < lowest) continue;  // what ties with the last of the k stays
        const double below = static_cast<double>(logits[i]) - static_cast<double>(highest);
        probabilities[i] = std::exp(below / settings.temperature);
        sum += probabilities[i];
    }
    for (double& p : probabilities) p /= sum;
    if (settings.top_p >= 1) return probabilities;
    std::vector<size_t> order(logits.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    const auto likelier = [&](size_t a, size_t b) { return probabilities[a] > probabilities[b]; };
    std::stable_sort(order.begin(), order.end(), likelier);  // of equals, the first stays
    double before = 0, kept = 0;  // what the likelier tokens hold together
    for (const size_t i : order) {
        const double p = probabilities[i];
        if (before >= settings.top_p * (1 - ROUNDING)) probabilities[i] = 0;
        kept += probabilities[i];
        before += p;
    }
    for (double& p : probabilities) p /= kept;
    return probabilities;
}

class Sampler {
  public:
    explicit Sampler(const Settings& settings) : settings_(settings), generator_(settings.seed) {}

    Id draw(const Floats& logits) {
        if (settings_.temperature == 0)  // greedy: the first of the highest
            return static_cast<Id>(std::max_element(logits.begin(), logits.end()) - logits.begin());
        const std::vector<double> probabilities = probabilities_of(logits, settings_);
        // 53 random bits make a number from 0 to below 1. The library's own distributions differ between compilers.
        double rest = static_cast<double>(generator_() >> 11) / 9007199254740992.0;
        size_t chosen = 0;
        for (size_t i = 0; i < probabilities.size(); ++i) {
            if (probabilities[i] == 0) continue;
            chosen = i;  // where rounding leaves a little over, the last one possible
            if (rest < probabilities[i]) break;
            rest -= probabilities[i];
        }
        return static_cast<Id>(chosen);
    }

  private:
    const Settings settings_;
    std::mt19937_64 generator_;
};

// ---- Text, as it comes ----------------------------------------------------------------------------------------------

void write(const string& text) {
    std::cout << text << std::flush;
    if (!std::cout) fail("Cannot write what was generated: is the disk full?");
}

// Bytes wait until they make a whole character; what cannot become one is shown as U+FFFD.
class CharacterWriter {
  public:
    void add(const string& bytes) {
        waiting_ += bytes;
        string whole;
        size_t at = 0;
        while (at < waiting_.size()) {
            const int length = utf8_length(waiting_, at);
            if (length == 0) break;
            whole += length > 0 ? waiting_.substr(at, static_cast<size_t>(length)) : "\xef\xbf\xbd";
            at += static_cast<size_t>(std::abs(length));
        }
        waiting_.erase(0, at);
        write(whole);
    }
    void finish() { write(waiting_.empty() ? "\n" : "\xef\xbf\xbd\n"); }

  private:
    string waiting_;
};

// ---- The command line -----------------------------------------------------------------------------------------------

constexpr const char* HELP =
    R"(usage: generate FOLDER [--setting value ...]

FOLDER is what `course export RUN --to cpp` wrote, or a whole run directory.

  --prompt TEXT         the text to go on from, as --start of `course sample`, which is understood too; FILE:path takes
                        it from a file (default: what the texts that the model learned from begin with)
  --prompt-ids "I J .." the ids to go on from, instead of a text
  --max-new-tokens N    how many tokens to add (default: 500)
  --temperature X       below 1 surer, above 1 wilder, 0 always the likeliest (default: 0.8)
  --top-k N             draw from the N likeliest tokens only
  --top-p X             draw from the likeliest tokens that sum to X only
  --seed N              where the draws start (default: 1337)
  --which SAVE          in a run directory: best, last or a number of steps (default: best, else last)
  --threads N           how many threads compute (default: one for each core, at most 8)
  --ids                 write the new tokens' ids, not text
  --logits              write the scores of what follows the prompt, and stop
  --time                say on stderr how long it took, from the prompt's first token to the last new one

The same seed gives the same text on one machine. The random numbers are not PyTorch's: with one seed this program and
`course sample` draw different texts from the same probabilities. With --temperature 0 both write the same.
)";

struct Options {
    fs::path folder;
    string prompt, which = "auto";
    bool prompted = false;
    std::vector<uint64_t> prompt_ids;
    uint64_t max_new_tokens = 500, threads = 0;
    bool ids = false, logits = false, time = false, help = false;
    Settings settings;
};

uint64_t parse_whole(const string& flag, const string& text, uint64_t low) {
    uint64_t number = 0;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || stop != text.data() + text.size() || number < low)
        fail(flag, " should be a whole number from ", low, " on; it is ", in_quotes(text), ".");
    return number;
}

double parse_real(const string& flag, const string& text) {
    char* stop = nullptr;
    const double number = std::strtod(text.c_str(), &stop);
    if (text.empty() || stop != text.c_str() + text.size() || !std::isfinite(number))
        fail(flag, " should be a number; it is ", in_quotes(text), ".");
    return number;
}

std::vector<uint64_t> parse_ids(const string& flag, const string& text) {
    std::vector<uint64_t> ids;
    std::istringstream words(text);
    for (string word; words >> word;) ids.push_back(parse_whole(flag, word, 0));
    if (ids.empty()) fail(flag, " should name at least one id, as in \"72 105\".");
    return ids;
}

void set_option(Options& options, const string& flag, const string& value) {
    Settings& settings = options.settings;
    if (flag == "--prompt" || flag == "--start") options.prompt = value, options.prompted = true;
    else if (flag == "--prompt-ids") options.prompt_ids = parse_ids(flag, value);
    else if (flag == "--which") options.which = value;
    else if (flag == "--max-new-tokens") options.max_new_tokens = parse_whole(flag, value, 0);
    else if (flag == "--threads") options.threads = std::min<uint64_t>(parse_whole(flag, value, 1), 256);
    else if (flag == "--seed") settings.seed = parse_whole(flag, value, 0);
    else if (flag == "--top-k") settings.top_k = parse_whole(flag, value, 1);
    else if (flag == "--temperature") settings.temperature = parse_real(flag, value);
    else if (flag == "--top-p") settings.top_p = parse_real(flag, value);
    else fail("There is no setting ", in_quotes(flag), ": generate --help lists what there is.");
    if (settings.temperature < 0) fail("--temperature should be 0 (greedy) or more.");
    if (settings.top_p <= 0 || settings.top_p > 1) fail("--top-p should be above 0 and at most 1.");
}

Options parse_options(const std::vector<string>& words) {
    Options options;
    for (size_t i = 0; i < words.size(); ++i) {
        const size_t equals = words[i].find('=');
        string flag = words[i].substr(0, equals);
        std::replace(flag.begin(), flag.end(), '_', '-');  // --top_k is --top-k, as on the course's own command line
        if (flag == "--help" || flag == "-h") options.help = true;
        else if (flag == "--ids") options.ids = true;
        else if (flag == "--logits") options.logits = true;
        else if (flag == "--time") options.time = true;
        else if (flag.compare(0, 2, "--") == 0) {
            if (equals == string::npos && i + 1 == words.size()) fail(flag, " needs a value after it.");
            set_option(options, flag, equals == string::npos ? words[++i] : words[i].substr(equals + 1));
        } else if (options.folder.empty()) {
            options.folder = fs::path(words[i]);
        } else {
            fail("One folder is enough; there is also ", in_quotes(words[i]), ".");
        }
    }
    if (options.folder.empty() && !options.help) fail("Which model? Name a folder; generate --help says more.");
    return options;
}

// The weights of the save that is asked for: beside config.json in an exported folder, under saves/ in a run.
fs::path find_weights(const fs::path& folder, string which) {
    std::error_code error;
    if (fs::exists(folder / "model.safetensors", error)) {
        if (which != "auto") fail(folder.string(), " holds one save only: leave --which out.");
        return folder / "model.safetensors";
    }
    if (which == "auto") which = fs::exists(folder / "best", error) ? "best" : "last";
    string name = which;
    if (which == "last" || which == "best") {
        name = size_of_file(folder / which) < 100 ? read_text(folder / which) : "";
        while (!name.empty() && string(" \r\n\t").find(name.back()) != string::npos) name.pop_back();
        if (name.empty() || name.find_first_not_of("0123456789.") != string::npos || name[0] == '.')
            fail((folder / which).string(), " should name a save, such as 200.");
    } else {
        fs::file_time_type newest{};
        name.clear();
        for (const fs::directory_entry& entry : fs::directory_iterator(folder / "saves", error)) {
            const string found = entry.path().filename().string();
            const bool newer = name.empty() || entry.last_write_time() > newest;
            if (found.substr(0, found.find('.')) == which && newer) name = found, newest = entry.last_write_time();
        }
        if (name.empty()) fail(folder.string(), " has no save ", in_quotes(which), ".");
    }
    return folder / "saves" / name / "model.safetensors";
}

// Line ends of all systems become \n, and a byte-order mark at the start of a file is no part of its text.
string read_prompt(const string& prompt) {
    const bool named = prompt.compare(0, 5, "FILE:") == 0;
    string raw = named ? read_text(prompt.substr(5)) : prompt;
    if (named && raw.compare(0, 3, "\xef\xbb\xbf") == 0) raw.erase(0, 3);
    string text;
    for (size_t i = 0; i < raw.size(); ++i) {
        if (raw[i] == '\r' && i + 1 < raw.size() && raw[i + 1] == '\n') continue;
        text += raw[i] == '\r' ? '\n' : raw[i];
    }
    return text;
}

// Prefill, then one token at a time. Up to block_size the cache serves; past it the oldest token is cropped, and as
// that moves every token's position, each step is computed afresh.
void generate(Model& model, const Config& config, const Tokenizer& tokenizer, const Options& options) {
    std::vector<Id> window;
    string prompt;
    for (const uint64_t id : options.prompt_ids) {
        if (id >= config.vocab_size) fail("--prompt-ids should be below ", config.vocab_size, "; one is ", id, ".");
        window.push_back(static_cast<Id>(id));
        prompt += tokenizer.bytes_of(window.back());
    }
    if (options.prompt_ids.empty()) {
        prompt = options.prompted ? read_prompt(options.prompt) : config.start;
        window = tokenizer.encode_prompt(prompt);
    }
    if (window.empty()) fail("The prompt has no character that this model knows.");
    if (window.size() > config.block_size)
        window.erase(window.begin(), window.end() - static_cast<std::ptrdiff_t>(config.block_size));
    Sampler sampler(options.settings);
    CharacterWriter text;
    if (!options.ids && !options.logits) text.add(prompt);
    const auto start = std::chrono::steady_clock::now();
    for (uint64_t n = 0; n < options.max_new_tokens || options.logits; ++n) {
        if (window.size() > config.block_size) {
            window.erase(window.begin());
            model.forget();
        }
        const size_t seen = model.tokens_seen();
        const Floats& logits = model.forward(window.data() + seen, window.size() - seen);
        if (options.logits) {
            for (const float logit : logits) {
                char number[32];
                std::snprintf(number, sizeof number, "%.9g\n", static_cast<double>(logit));
                write(number);
            }
            return;
        }
        window.push_back(sampler.draw(logits));
        if (options.ids) write((n ? " " : "") + std::to_string(window.back()));
        else text.add(tokenizer.bytes_of(window.back()));
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    if (options.ids) write("\n");
    else text.finish();
    if (options.time) std::cerr << options.max_new_tokens << " tokens in " << std::fixed << seconds.count() << " s\n";
}

void run(const std::vector<string>& words) {
    const Options options = parse_options(words);
    if (options.help) return write(HELP);
    std::error_code error;
    if (!fs::is_regular_file(options.folder / "config.json", error))
        fail(options.folder.string(), " is no run directory: it should hold a config.json.");
    const Config config = read_config(options.folder / "config.json");
    const Tokenizer tokenizer(options.folder / "tokenizer.json", config);
    const size_t cores = std::max(1u, std::min(8u, std::thread::hardware_concurrency()));
    Team team(options.threads ? static_cast<size_t>(options.threads) : cores);
    Model model(config, find_weights(options.folder, options.which), team);
    generate(model, config, tokenizer, options);
}

}  // namespace

int main(int argc, char** argv) {
    try {
        run(std::vector<string>(argv + 1, argv + argc));
        return 0;
    } catch (const std::bad_alloc&) {
        std::fprintf(stderr, "generate: There is not enough memory for this model.\n");
    } catch (const std::exception& error) {
        std::fprintf(stderr, "generate: %s\n", error.what());
    }
    return 2;
}
