// The library by which Python's sampler decodes on a processor: blocks.hpp, called by address.
//
// See course_lib/kernels/decoding.py, which is the only caller and checks what it gives.

#include "blocks.hpp"

#include <exception>
#include <utility>

namespace {

struct Decoder {
    Team team;
    Blocks blocks;
    Matrix head;
    const size_t n_layer;
    Rotary rotary;
    Floats x;

    Decoder(size_t threads, const Form& form, std::vector<Block> parts, Gain norm, Matrix last, Rotary tables)
        : team(threads), blocks(form, std::move(parts), norm, team), head(last), n_layer(form.n_layer),
          rotary(tables) {}
};

}  // namespace

extern "C" {

// numbers: n_layer, n_head, n_embd, hidden, V, LayerNorm or not, QK-norm or not, RoPE or not, the MLP's kind, threads.
// weights: of each block norm1, qkv, proj, norm2, up, down, then the last norm's and the head's; of each its weight
// and its bias, or null. Then RoPE's cosines and sines, or null. They are read where they are, and must stay there. Null
// where memory is out.
void* decoder_new(const std::int64_t* numbers, const float* const* weights) {
    try {
        Form form;
        form.n_layer = static_cast<size_t>(numbers[0]), form.n_head = static_cast<size_t>(numbers[1]);
        form.n_embd = static_cast<size_t>(numbers[2]), form.hidden = static_cast<size_t>(numbers[3]);
        form.layernorm = numbers[5], form.qk_norm = numbers[6], form.rope = numbers[7];
        form.mlp = static_cast<Mlp>(numbers[8]);
        const auto gain = [&] { weights += 2; return Gain{weights[-2], weights[-1]}; };
        const auto matrix = [&](size_t inputs, size_t outputs) {
            weights += 2;
            return Matrix{inputs, outputs, weights[-2], weights[-1]};
        };
        const size_t C = form.n_embd;
        std::vector<Block> blocks(form.n_layer);
        for (Block& block : blocks) {
            block.norm1 = gain();
            block.qkv = matrix(C, 3 * C), block.proj = matrix(C, C);
            block.norm2 = gain();
            block.up = matrix(C, form.wide()), block.down = matrix(form.hidden, C);
        }
        const Gain norm = gain();
        const Matrix head = matrix(C, static_cast<size_t>(numbers[4]));
        const Rotary tables{weights[0], weights[1]};
        return new Decoder(static_cast<size_t>(numbers[9]), form, std::move(blocks), norm, head, tables);
    } catch (const std::exception&) {
        return nullptr;
    }
}

// One token of each of B streams: x (B, C), embedded, to logits (B, V). Its keys and values are put at place `seen` of
// keys and values (n_layer, B, H, T_max, E). padding (B), or null, as `Blocks` has it. Not 0 where memory is out.
int decoder_step(void* decoder, const float* x, std::int64_t B, std::int64_t seen, const std::int64_t* padding,
                 float* keys, float* values, const std::int64_t* strides, float* logits) {
    try {
        Decoder& self = *static_cast<Decoder*>(decoder);
        const size_t layer = static_cast<size_t>(strides[0]), streams = static_cast<size_t>(B);
        std::vector<Cache> caches;
        for (size_t i = 0; i < self.n_layer; ++i)
            caches.push_back({keys + i * layer, values + i * layer, static_cast<size_t>(strides[1]),
                              static_cast<size_t>(strides[2]), static_cast<size_t>(strides[3])});
        self.x.assign(x, x + streams * self.head.inputs);
        self.blocks.forward(self.x.data(), streams, 1, static_cast<size_t>(seen), padding, caches,
                            self.rotary);
        self.blocks.multiply(self.head, self.x.data(), streams, logits);
        return 0;
    } catch (const std::exception&) {
        return 1;
    }
}

void decoder_free(void* decoder) { delete static_cast<Decoder*>(decoder); }

}  // extern "C"
