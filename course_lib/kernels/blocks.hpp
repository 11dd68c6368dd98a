// The blocks of a transformer on a processor: threads, matrix products, attention, the MLP, in plain C++17.
//
// Two programs are made with it: `generate`, which writes without Python, and the library by which Python's sampler
// decodes. Neither's memory is owned here: weights, and the cache of keys and values, are the caller's.
//
// Shapes are written as in the course: B streams (texts that are written side by side), T tokens of each, C = n_embd,
// H heads of E = C / H numbers, V = vocab_size. Matrices lie row by row. Every sum is taken in one order, whatever the
// number of threads: with one thread and with many, the same comes out to the last bit.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <limits>
#include <mutex>
#include <new>
#include <thread>
#include <utility>
#include <vector>

namespace {

using std::size_t;
using std::uint64_t;

// Floats that begin on a boundary of 64 bytes: no vector that the processor loads then lies in two cache lines.
template <class T>
struct Aligned {
    using value_type = T;
    Aligned() = default;
    template <class U>
    Aligned(const Aligned<U>&) {}
    T* allocate(size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), std::align_val_t{64})); }
    void deallocate(T* p, size_t) { ::operator delete(p, std::align_val_t{64}); }
    bool operator==(const Aligned&) const { return true; }
    bool operator!=(const Aligned&) const { return false; }
};
using Floats = std::vector<float, Aligned<float>>;

// ---- Threads --------------------------------------------------------------------------------------------------------

// A few threads that wait for work. A product's rows are cut into pieces, and whoever is free takes the next piece,
// the caller too: where another program holds a core, the work still goes on. Threads that find nothing to do look
// again for a moment, since the next product comes within microseconds, and then sleep.
class Team {
  public:
    explicit Team(size_t threads) {
        try {
            workers_.reserve(threads);
            while (workers_.size() + 1 < threads) workers_.emplace_back([this] { work(); });
        } catch (const std::exception&) {
            // no more threads to be had here: those that started do the work
        }
    }
    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;
    ~Team() {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            stop_ = true;
        }
        wake_.notify_all();
        for (std::thread& worker : workers_) worker.join();
    }

    // Into how many pieces to cut `count` things that take `operations` multiplications in all: into one where the
    // work is less than waiting for another thread would be.
    size_t pieces(size_t count, size_t operations) const {
        constexpr size_t WORTH = 40'000;
        if (workers_.empty() || operations < 2 * WORTH) return 1;
        return std::max<size_t>(1, std::min({count, operations / WORTH, 4 * (workers_.size() + 1)}));
    }

    // do_piece(piece, begin, end) for each piece of 0 .. count. It must not throw.
    template <class F>
    void split(size_t count, size_t pieces, const F& do_piece) {
        if (pieces <= 1) return do_piece(size_t{0}, size_t{0}, count);
        call_ = [](const void* function, size_t piece, size_t begin, size_t end) {
            (*static_cast<const F*>(function))(piece, begin, end);
        };
        function_ = &do_piece, count_ = count, pieces_ = pieces;
        done_.store(0, std::memory_order_relaxed);
        const uint64_t turn = (ticket_.load(std::memory_order_relaxed) >> 32) + 1;
        ticket_.store(turn << 32 | pieces);
        if (sleeping_.load() > 0) {
            const std::lock_guard<std::mutex> lock(mutex_);
            wake_.notify_all();
        }
        while (take_piece()) continue;
        while (done_.load(std::memory_order_acquire) < pieces) std::this_thread::yield();
    }

  private:
    std::vector<std::thread> workers_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::atomic<uint64_t> ticket_{0};  // above: which job; below: how many of its pieces nobody has taken yet
    std::atomic<size_t> done_{0}, sleeping_{0};
    std::atomic<bool> stop_{false};
    void (*call_)(const void*, size_t, size_t, size_t) = nullptr;
    const void* function_ = nullptr;
    size_t count_ = 0, pieces_ = 0;

    bool has_work() const { return (ticket_.load() & 0xffffffff) != 0; }

    // A piece is taken by counting down. The caller leaves a job only when all its pieces are done, so that whoever
    // has taken one may read what that job is.
    bool take_piece() {
        uint64_t ticket = ticket_.load();
        do {
            if ((ticket & 0xffffffff) == 0) return false;
        } while (!ticket_.compare_exchange_weak(ticket, ticket - 1));
        const size_t piece = static_cast<size_t>((ticket & 0xffffffff) - 1);
        call_(function_, piece, count_ * piece / pieces_, count_ * (piece + 1) / pieces_);
        done_.fetch_add(1, std::memory_order_release);
        return true;
    }

    void work() {
        using Clock = std::chrono::steady_clock;
        while (!stop_) {
            const auto start = Clock::now();
            while (!has_work() && Clock::now() - start < std::chrono::microseconds(100)) std::this_thread::yield();
            if (has_work()) {
                take_piece();
                continue;
            }
            std::unique_lock<std::mutex> lock(mutex_);
            ++sleeping_;
            wake_.wait(lock, [this] { return stop_ || has_work(); });
            --sleeping_;
        }
    }
};

// ---- Matrix products ------------------------------------------------------------------------------------------------

// Of a linear layer: weight (outputs, inputs), and bias (outputs) or null.
struct Matrix {
    size_t inputs = 0, outputs = 0;
    const float *weight = nullptr, *bias = nullptr;
};

// Sums are kept in many parts, so that the compiler can put one part in each place of the processor's vectors: it may
// not reorder a single sum, as that changes the rounding.
float dot(const float* a, const float* b, size_t n) {
    constexpr size_t PARTS = 16;
    float sums[PARTS] = {}, rest = 0;
    size_t i = 0;
    for (; i + PARTS <= n; i += PARTS)
        for (size_t part = 0; part < PARTS; ++part) sums[part] += a[i + part] * b[i + part];
    for (; i < n; ++i) rest += a[i] * b[i];
    for (size_t half = PARTS / 2; half > 0; half /= 2)
        for (size_t part = 0; part < half; ++part) sums[part] += sums[part + half];
    return sums[0] + rest;
}

constexpr size_t TILE = 16, ROWS = 6;  // tokens and rows of one tile: its sums fit into the processor's registers
constexpr size_t FEW = 4;              // tokens up to which dot products are faster than a tile

// sums (ROWS, TILE) of six rows of a matrix and TILE tokens, whose numbers lie token by token: panel (inputs, TILE).
// A weight that was read from memory serves TILE tokens, and a token's number six rows.
void multiply_tile(const float* const (&rows)[ROWS], size_t inputs, const float* panel, float* sums) {
    const float *row0 = rows[0], *row1 = rows[1], *row2 = rows[2], *row3 = rows[3], *row4 = rows[4], *row5 = rows[5];
    float sums0[TILE] = {}, sums1[TILE] = {}, sums2[TILE] = {}, sums3[TILE] = {}, sums4[TILE] = {}, sums5[TILE] = {};
    for (size_t i = 0; i < inputs; ++i, panel += TILE)
        for (size_t t = 0; t < TILE; ++t) {
            sums0[t] += row0[i] * panel[t];
            sums1[t] += row1[i] * panel[t];
            sums2[t] += row2[i] * panel[t];
            sums3[t] += row3[i] * panel[t];
            sums4[t] += row4[i] * panel[t];
            sums5[t] += row5[i] * panel[t];
        }
    for (const float* part : {sums0, sums1, sums2, sums3, sums4, sums5}) sums = std::copy_n(part, TILE, sums);
}

// y = x W^T + b: (rows, inputs) -> (rows, outputs). A row is one token's numbers.
class Multiplier {
  public:
    explicit Multiplier(Team& team) : team_(team) {}

    void operator()(const Matrix& matrix, const float* x, size_t rows, float* y) {
        const size_t outputs = matrix.outputs, inputs = matrix.inputs;
        const float *weight = matrix.weight, *bias = matrix.bias;
        const size_t pieces = team_.pieces(outputs, outputs * inputs * rows);
        if (rows <= FEW) {
            team_.split(outputs, pieces, [&](size_t, size_t begin, size_t end) {
                for (size_t row = begin; row < end; ++row)
                    for (size_t t = 0; t < rows; ++t)
                        y[t * outputs + row] =
                            dot(weight + row * inputs, x + t * inputs, inputs) + (bias ? bias[row] : 0);
            });
            return;
        }
        pack(x, rows, inputs);
        team_.split(outputs, pieces, [&](size_t, size_t begin, size_t end) {
            float sums[ROWS * TILE];
            for (size_t row = begin; row < end; row += ROWS) {
                const float* six[ROWS];  // past the end, the last row again
                for (size_t r = 0; r < ROWS; ++r) six[r] = weight + std::min(row + r, end - 1) * inputs;
                for (size_t first = 0; first < rows; first += TILE) {
                    multiply_tile(six, inputs, panels_.data() + first * inputs, sums);
                    for (size_t t = first; t < std::min(rows, first + TILE); ++t)
                        for (size_t r = 0; r < std::min(ROWS, end - row); ++r)
                            y[t * outputs + row + r] = sums[r * TILE + t - first] + (bias ? bias[row + r] : 0);
                }
            }
        });
    }

  private:
    Team& team_;
    Floats panels_;

    // (rows, inputs) -> panels of TILE tokens, each (inputs, TILE); the last is filled up with zeros.
    void pack(const float* x, size_t rows, size_t inputs) {
        const size_t padded = (rows + TILE - 1) / TILE * TILE;
        panels_.assign(padded * inputs, 0);
        const size_t pieces = team_.pieces(padded / TILE, 4 * rows * inputs);
        team_.split(padded / TILE, pieces, [&](size_t, size_t begin, size_t end) {
            for (size_t t = begin * TILE; t < std::min(rows, end * TILE); ++t)
                for (size_t i = 0; i < inputs; ++i)
                    panels_[(t / TILE * inputs + i) * TILE + t % TILE] = x[t * inputs + i];
        });
    }
};

// ---- Functions of one number ----------------------------------------------------------------------------------------
// Written out, so that the compiler computes many at once; the standard library's are called one by one.

// e^x to a rounding or two, at most e^88, and 0 below e^-87 (smaller numbers, subnormal ones, are slow to compute with): 2^n e^r, where r is at most ln 2 / 2 in size, and e^r
// a polynomial (the coefficients of Moshier's Cephes library).
inline float exponential(float number) {
    const float x = number < -87.0f ? -87.0f : number > 88.0f ? 88.0f : number;  // NaN stays
    constexpr float MAGIC = 12'582'912;  // 1.5 * 2^23: added to a number, it leaves the nearest whole one
    const float shifted = x * 1.44269504f + MAGIC, n = shifted - MAGIC;
    const float r = x - n * 0.693359375f + n * 2.12194440e-4f;
    float sum = 1.9875691500e-4f;
    sum = sum * r + 1.3981999507e-3f;
    sum = sum * r + 8.3334519073e-3f;
    sum = sum * r + 4.1665795894e-2f;
    sum = sum * r + 1.6666665459e-1f;
    sum = sum * r + 5.0000001201e-1f;
    sum = sum * r * r + r + 1;
    std::uint32_t bits;
    std::memcpy(&bits, &shifted, sizeof bits);
    bits = (bits << 23) + 0x3f800000u;  // the lowest bits of `shifted` are n: 2^n as a float
    float power;
    std::memcpy(&power, &bits, sizeof power);
    return number < -87.0f ? 0 : sum * power;
}

// x Phi(x), where Phi is the normal distribution's: its tail by formula 7.1.26 of Abramowitz and Stegun (1964), good
// to 1.5e-7.
inline float gelu(float x) {
    const float z = (x < 0 ? -x : x) * 0.70710678f, t = 1 / (1 + 0.3275911f * z);
    float sum = 1.061405429f;
    sum = sum * t - 1.453152027f;
    sum = sum * t + 1.421413741f;
    sum = sum * t - 0.284496736f;
    sum = sum * t + 0.254829592f;
    const float tail = 0.5f * sum * t * exponential(-z * z);
    return x < 0 ? x * tail : x - x * tail;
}

// x (1 + tanh(u)) / 2 = x / (1 + e^-2u): GELU as GPT-2 has it.
inline float gelu_tanh(float x) {
    const float u = 0.79788456f * (x + 0.044715f * x * x * x);  // sqrt(2 / pi)
    return x / (1 + exponential(-2 * u));
}

inline float relu_squared(float x) { return x < 0 ? 0 : x * x; }  // NaN stays
inline float silu(float x) { return x / (1 + exponential(-x)); }

// ---- The blocks -----------------------------------------------------------------------------------------------------

enum class Mlp { Gelu, GeluTanh, ReluSquared, SwiGlu };

// What the settings of a GPT say of its blocks.
struct Form {
    size_t n_layer = 0, n_head = 0, n_embd = 0, hidden = 0;
    bool layernorm = true, qk_norm = false, rope = false;
    Mlp mlp = Mlp::Gelu;

    size_t head_dim() const { return n_embd / n_head; }
    size_t wide() const { return mlp == Mlp::SwiGlu ? 2 * hidden : hidden; }  // what the MLP's first matrix gives
};

// Of a norm: both (C); bias may be null.
struct Gain {
    const float *weight = nullptr, *bias = nullptr;
};

struct Block {
    Gain norm1, norm2;
    Matrix qkv, proj, up, down;
};

// Where one block's keys and values are: E numbers side by side, and as many floats from one stream, head and token to
// the next as is said here.
struct Cache {
    float *keys = nullptr, *values = nullptr;
    size_t stream = 0, head = 0, token = 0;
};

// RoPE's tables (Su et al. 2021, equation 15) from position 0 on, each row E / 2 numbers.
struct Rotary {
    const float *cosines = nullptr, *sines = nullptr;
};

class Blocks {
  public:
    Blocks(const Form& form, std::vector<Block> blocks, Gain norm, Team& team)
        : form_(form), blocks_(std::move(blocks)), norm_(norm), team_(team), multiply_(team) {}

    // What the model knows at the last token of each stream: x (B, T, C), the embedded tokens, becomes (B, C),
    // normalized. Each stream has `seen` tokens in the caches, one cache a block; the new ones are put behind them.
    // padding (B), or null, says how many of a stream's places are empty at its front: nobody looks at them, and
    // positions begin after them. Of the tables `seen` + T rows are read, where the form has RoPE.
    void forward(float* x, size_t B, size_t T, size_t seen, const std::int64_t* padding,
                 const std::vector<Cache>& caches, Rotary rotary) {
        const size_t C = form_.n_embd;
        make_room(B * T);
        rotary_ = rotary;
        for (size_t layer = 0; layer < blocks_.size(); ++layer) {
            // Of the last block, only the last token is looked at. Its keys and values are needed of all.
            const size_t first = layer + 1 == blocks_.size() ? T - 1 : 0;
            attend(blocks_[layer], x, {B, T, seen, first, padding}, caches[layer]);
            feed_forward(blocks_[layer], x, B * (T - first));
        }
        normalize(norm_, x, B, h_.data());
        std::copy_n(h_.data(), B * C, x);
    }

    void multiply(const Matrix& matrix, const float* x, size_t rows, float* y) { multiply_(matrix, x, rows, y); }

  private:
    static constexpr size_t WIDTH = 32;
    static constexpr float EPS = 1e-5f, QK_EPS = std::numeric_limits<float>::epsilon();  // as torch's rms_norm has it
    const Form form_;
    const std::vector<Block> blocks_;
    const Gain norm_;
    Team& team_;
    Multiplier multiply_;
    Rotary rotary_;
    Floats h_, wide_, attended_, scores_;  // room for what comes between

    struct Step {
        size_t B, T, seen, first;  // of each stream's T tokens, those from `first` on go on
        const std::int64_t* padding;

        size_t empty(size_t stream) const { return padding ? static_cast<size_t>(padding[stream]) : 0; }
    };

    void make_room(size_t rows) {
        const size_t C = form_.n_embd;
        const auto at_least = [](Floats& floats, size_t size) { if (floats.size() < size) floats.resize(size); };
        at_least(h_, rows * C), at_least(attended_, rows * C);
        at_least(wide_, rows * std::max(3 * C, form_.wide()));
    }

    // LayerNorm (Ba et al. 2016) or RMSNorm (Zhang and Sennrich 2019) of rows of C numbers.
    void normalize(const Gain& gain, const float* x, size_t rows, float* y) const {
        const size_t C = form_.n_embd;
        for (size_t row = 0; row < rows; ++row, x += C, y += C) {
            const float mean = form_.layernorm ? sum(C, [&](size_t i) { return x[i]; }) / static_cast<float>(C) : 0;
            const float square = sum(C, [&](size_t i) { return (x[i] - mean) * (x[i] - mean); });
            const float scale = 1 / std::sqrt(square / static_cast<float>(C) + EPS);
            if (gain.bias)
                for (size_t i = 0; i < C; ++i) y[i] = (x[i] - mean) * scale * gain.weight[i] + gain.bias[i];
            else
                for (size_t i = 0; i < C; ++i) y[i] = (x[i] - mean) * scale * gain.weight[i];
        }
    }

    template <class F>
    static float sum(size_t n, const F& term) {  // in parts, as `dot`
        constexpr size_t PARTS = 16;
        float sums[PARTS] = {}, total = 0;
        size_t i = 0;
        for (; i + PARTS <= n; i += PARTS)
            for (size_t part = 0; part < PARTS; ++part) sums[part] += term(i + part);
        for (; i < n; ++i) total += term(i);
        for (const float part : sums) total += part;
        return total;
    }

    // A head's query or key: QK-norm, then RoPE, which turns the pairs (i, i + E / 2) by the position's angles.
    void place_in_head(float* head, size_t position) const {
        const size_t E = form_.head_dim(), half = E / 2;
        if (form_.qk_norm) {
            const float scale = 1 / std::sqrt(dot(head, head, E) / static_cast<float>(E) + QK_EPS);
            for (size_t i = 0; i < E; ++i) head[i] *= scale;
        }
        if (!form_.rope) return;
        const float *cosine = rotary_.cosines + position * half, *sine = rotary_.sines + position * half;
        for (size_t i = 0; i < half; ++i) {
            const float first = head[i], second = head[i + half];
            head[i] = first * cosine[i] - second * sine[i];
            head[i + half] = first * sine[i] + second * cosine[i];
        }
    }

    // x += proj(attention(norm1 x)): (B, T, C) -> (B, T - first, C).
    void attend(const Block& block, float* x, const Step& step, const Cache& cache) {
        const size_t C = form_.n_embd, H = form_.n_head, E = form_.head_dim(), left = step.T - step.first;
        normalize(block.norm1, x, step.B * step.T, h_.data());
        multiply_(block.qkv, h_.data(), step.B * step.T, wide_.data());  // (B, T, 3C): q, k, v, each head beside head
        for (size_t row = 0; row < step.B * step.T; ++row) remember(&wide_[row * 3 * C], row, step, cache);
        const size_t tasks = step.B * left * H, longest = step.seen + step.T;
        const size_t pieces = team_.pieces(tasks, 2 * tasks * longest * E);
        if (scores_.size() < pieces * longest) scores_.resize(pieces * longest);
        team_.split(tasks, pieces, [&](size_t piece, size_t begin, size_t end) {
            for (size_t task = begin; task < end; ++task) {
                const size_t stream = task / H / left, t = step.first + task / H % left, head = task % H;
                const size_t place = step.seen + t, start = std::min(step.empty(stream), place);
                const size_t from = stream * cache.stream + head * cache.head + start * cache.token;
                attend_one(&wide_[(stream * step.T + t) * 3 * C + head * E], cache.keys + from, cache.values + from,
                           cache.token, place - start + 1, &scores_[piece * longest],
                           &attended_[task / H * C + head * E]);
            }
        });
        multiply_(block.proj, attended_.data(), step.B * left, h_.data());
        for (size_t row = 0; row < step.B * left; ++row) {
            const float* old = x + (row / left * step.T + step.first + row % left) * C;  // never before x + row * C
            for (size_t i = 0; i < C; ++i) x[row * C + i] = old[i] + h_[row * C + i];
        }
    }

    // Put a token's queries and keys in their place, and its keys and values into the cache.
    void remember(float* qkv, size_t row, const Step& step, const Cache& cache) const {
        const size_t C = form_.n_embd, H = form_.n_head, E = form_.head_dim(), stream = row / step.T;
        const size_t place = step.seen + row % step.T;
        for (size_t head = 0; head < 2 * H; ++head)
            place_in_head(qkv + head * E, place - std::min(step.empty(stream), place));
        for (size_t head = 0; head < H; ++head) {
            const size_t at = stream * cache.stream + head * cache.head + place * cache.token;
            std::copy_n(qkv + C + head * E, E, cache.keys + at);
            std::copy_n(qkv + 2 * C + head * E, E, cache.values + at);
        }
    }

    // softmax(q k^T / sqrt(E)) v, for one query and head over `count` tokens (Vaswani et al. 2017, equation 1).
    void attend_one(const float* query, const float* keys, const float* values, size_t stride, size_t count,
                    float* scores, float* out) const {
        const size_t E = form_.head_dim();
        const float scale = 1 / std::sqrt(static_cast<float>(E));
        float highest = -std::numeric_limits<float>::infinity();
        for (size_t j = 0; j < count; ++j) {
            scores[j] = dot(query, keys + j * stride, E) * scale;
            highest = std::max(highest, scores[j]);
        }
        for (size_t j = 0; j < count; ++j) scores[j] = exponential(scores[j] - highest);
        const float total = sum(count, [&](size_t j) { return scores[j]; });
        for (size_t i = 0; i < E; i += WIDTH) {
            float sums[WIDTH] = {};  // in registers, where out would be read and written for each token
            if (i + WIDTH <= E)
                for (size_t j = 0; j < count; ++j)
                    for (size_t k = 0; k < WIDTH; ++k) sums[k] += scores[j] * values[j * stride + i + k];
            else
                for (size_t j = 0; j < count; ++j)
                    for (size_t k = 0; k < E - i; ++k) sums[k] += scores[j] * values[j * stride + i + k];
            for (size_t k = 0; k < std::min(WIDTH, E - i); ++k) out[i + k] = sums[k] / total;
        }
    }

    // x += down(f(up(norm2 x))): (rows, C).
    void feed_forward(const Block& block, float* x, size_t rows) {
        const size_t C = form_.n_embd, hidden = form_.hidden;
        normalize(block.norm2, x, rows, h_.data());
        multiply_(block.up, h_.data(), rows, wide_.data());
        if (form_.mlp == Mlp::SwiGlu) {  // the result overwrites the start of each row, and rows close up, in order
            for (size_t row = 0; row < rows; ++row)
                for (size_t i = 0; i < hidden; ++i)
                    wide_[row * hidden + i] = wide_[row * 2 * hidden + i] * silu(wide_[(row * 2 + 1) * hidden + i]);
        } else {
            team_.split(rows * hidden, team_.pieces(rows * hidden, 10 * rows * hidden),
                        [&](size_t, size_t begin, size_t end) { bend(begin, end); });
        }
        multiply_(block.down, wide_.data(), rows, h_.data());
        for (size_t i = 0; i < rows * C; ++i) x[i] += h_[i];
    }

    void bend(size_t begin, size_t end) {
        float* const wide = wide_.data();
        if (form_.mlp == Mlp::Gelu)
            for (size_t i = begin; i < end; ++i) wide[i] = gelu(wide[i]);
        else if (form_.mlp == Mlp::GeluTanh)
            for (size_t i = begin; i < end; ++i) wide[i] = gelu_tanh(wide[i]);
        else
            for (size_t i = begin; i < end; ++i) wide[i] = relu_squared(wide[i]);
    }
};

}  // namespace
